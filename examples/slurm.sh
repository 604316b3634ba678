#!/bin/bash
# One stage on several machines of eight GPUs under Slurm: sbatch examples/slurm.sh general/stage2-v1 batch.global_size=32
# Look before you queue: dragonfly train RECIPE --dry-run --processes 32 --device H100 [key=value ...]
#SBATCH --job-name=dragonfly
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=64
#SBATCH --time=24:00:00
#SBATCH --output=%x-%j.log
#SBATCH --signal=TERM@300
#SBATCH --requeue
# SIGTERM comes five minutes before the time is over: the run saves at the end of its step and stops. The same command resumes it.
set -euo pipefail
[ $# -gt 0 ] || { echo "usage: sbatch examples/slurm.sh RECIPE [key=value ...]" >&2; exit 2; }

GPUS=${GPUS:-${SLURM_GPUS_ON_NODE:-8}}
HOST=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
PORT=$((20000 + SLURM_JOB_ID % 20000)) # of this job alone, should two share a machine
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}

# One torchrun on each machine; `exec` and srun hand Slurm's signals on to it.
exec srun --kill-on-bad-exit=1 torchrun --nnodes "$SLURM_JOB_NUM_NODES" --nproc-per-node "$GPUS" \
    --rdzv-id "$SLURM_JOB_ID" --rdzv-backend c10d --rdzv-endpoint "$HOST:$PORT" \
    -m dragonfly train "$@"
