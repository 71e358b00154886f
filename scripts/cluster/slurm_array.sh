#!/bin/sh
# Renders many clips as an array job of Slurm; each task takes its share (`lipsync batch --shard`, read from the job).
#
#   sbatch --array=0-15 scripts/cluster/slurm_array.sh JOBS.. -o OUT [options of lipsync batch]
#
# JOBS and OUT must mean the same on every node. Tasks write into one folder, and each goes on where it was stopped
# (--resume): a task that is requeued, or the whole job submitted again, renders only what is missing.
# After all: sbatch --dependency=afterany:JOBID .. or `lipsync batch JOBS -o OUT --resume --dry-run` tells what is left.
#SBATCH --job-name=lipsync
#SBATCH --cpus-per-task=4
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=lipsync-%A_%a.log
# For GPUs:
##SBATCH --gpus-per-task=1
set -eu
: "${SLURM_ARRAY_TASK_ID:?submit it as an array job: sbatch --array=0-15 $0 JOBS.. -o OUT}"
exec "${LIPSYNC:-lipsync}" batch "$@" --resume --threads "${SLURM_CPUS_PER_TASK:-4}" --progress plain
