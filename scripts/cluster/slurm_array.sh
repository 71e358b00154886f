#!/bin/sh
# Renders many clips as a Slurm array job; each task takes its shard (`lipsync batch --shard`, read from the job).
#
#   sbatch --array=0-15 scripts/cluster/slurm_array.sh JOBS.. -o OUT [options of lipsync batch]
#
# JOBS and OUT must be the same paths on every node. Tasks write into one folder, and each resumes where it was stopped
# (--resume): a requeued task, or the whole job submitted again, renders only what is missing.
# Afterwards: sbatch --dependency=afterany:JOBID .. or `lipsync batch JOBS -o OUT --resume --dry-run` lists what is left.
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
