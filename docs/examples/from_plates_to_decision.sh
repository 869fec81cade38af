#!/bin/sh
# From raw plates and a table of measurements to a decision, without writing code.
#
#     sh from_plates_to_decision.sh PLATES LABELS TARGET LIBRARY OUT
#
# PLATES   one row per well: structures, plates, wells, controls and features (.parquet, .csv, .tsv)
# LABELS   one row per molecule: structures, and TARGET, a column of measurements (.csv, .tsv, .parquet, .sdf)
# LIBRARY  the molecules to decide about (.smi, .sdf, .csv, .tsv, .parquet)
# OUT      a folder, which is made
#
# EPOCHS and MOCOP may be set in the environment, as in EPOCHS=100.
set -eu
plates=$1 labels=$2 target=$3 library=$4 out=$5
mocop=${MOCOP:-mocop}
epochs=${EPOCHS:-30}
mkdir -p "$out"

# 1. Scale each plate on its controls, and say what became of every well.
$mocop build "$plates" -o "$out/plates.pairs"

# 2. Learn from the cells, starting from a model that comes with the package.
$mocop pretrain "$out/plates.pairs" --pretrained distilled --max-epochs "$epochs" --random-state 0 -o "$out/cells.safetensors"

# 3. What is in the model, and where do its profiles come from?
$mocop info "$out/cells.safetensors"

# 4. Which molecules of the library should look like these wells?
$mocop retrieve "$library" "$out/plates.pairs" -m "$out/cells.safetensors" -k 5 \
    --id Metadata_Plate Metadata_Well -o "$out/molecules_for_wells.csv"

# 5. And the reverse: which wells does each molecule of the library look like?
$mocop retrieve "$library" "$out/plates.pairs" -m "$out/cells.safetensors" -k 5 --query molecules \
    --id Metadata_Plate Metadata_Well -o "$out/wells_for_molecules.csv"

# 6. Is the model any good for these measurements, beside two simple ones?
$mocop evaluate "$labels" --target "$target" -m "$out/cells.safetensors" --max-epochs "$epochs" --test scaffold 0.2

# 7. Train on all measurements: two networks, so that predictions have a spread.
$mocop finetune "$labels" --target "$target" -m "$out/cells.safetensors" --max-epochs "$epochs" --n-estimators 2 \
    --random-state 0 -o "$out/target.safetensors"

# 8. What does that model predict, and what has it seen?
$mocop info "$out/target.safetensors"

# 9. Predict, with spread, the nearest training molecule, and whether the molecule is inside the domain.
$mocop predict "$library" -m "$out/target.safetensors" -o "$out/predictions.csv"

# 10. Vectors for tools of your own.
$mocop embed "$library" -m "$out/cells.safetensors" -o "$out/embedding.parquet"

# 11. Which atoms do the predictions rest on?
$mocop explain "$library" -m "$out/target.safetensors" -o "$out/explanation.html"

# 12. One page about the embedder: what it is, how well it retrieves, and what may confound that.
$mocop report "$out/cells.safetensors" "$out/plates.pairs" --molecules "$library" -o "$out/report.html"
