#!/bin/sh
#SBATCH --job-name=mocop-embed
#SBATCH --array=1-100
#SBATCH --cpus-per-task=4
#SBATCH --mem=4G
#SBATCH --time=04:00:00
#SBATCH --requeue
#
# Embed a library of any size with an array of jobs: each task makes one of as many parts.
#
#     sbatch slurm_embed.sh LIBRARY MODEL OUT
#
# LIBRARY  molecules (.smi, .csv, .tsv, .parquet, .sdf), on a disk that all nodes see
# MODEL    a model file, or the name of a model that comes with the package
# OUT      a folder, which is made; part-0000001.parquet and so on, in the order of the rows
#
# SHARDS is the number of parts, 100 by default; say --array=1-SHARDS with another. A part is there as a whole or not at
# all. To make what a failure has left out, submit the same command again: parts that are there are left alone.
# MOCOP may be set in the environment, as in MOCOP="python -m mocop_sklearn".
set -eu
library=$1 model=$2 out=$3
shards=${SHARDS:-100}
mkdir -p "$out"
part=$(printf '%s/part-%07d.parquet' "$out" "$SLURM_ARRAY_TASK_ID")
if [ -e "$part" ]; then
    echo "$part is there"
    exit 0
fi
${MOCOP:-mocop} embed "$library" -m "$model" -o "$part" \
    --shard "$SLURM_ARRAY_TASK_ID/$shards" --n-jobs "${SLURM_CPUS_PER_TASK:-1}"
