"A denoising diffusion model, from the noise schedule to guided samples: `import tinydiff as td`."

__version__ = "0.1.0"

import os

# Threads that spin while they wait for others are slow on a machine that is not idle.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

from .ddim import ddim
from .ddpm import ddpm
from .edit import img2img, inpaint, invert, slerp
from .edm import Preconditioned, cfg_interval, dpmpp, heun, karras_schedule
from .flow import log_likelihood
from .forward import Denoiser, State, eps_to_score, eps_to_v, eps_to_x0, mixture_denoiser
from .forward import q_posterior, q_sample, sample, v_to_eps, x0_to_eps
from .guidance import cfg
from .schedule import Schedule, cosine_schedule, linear_schedule, timesteps
from .train import EMA, Muon, Recipe, diffusion_loss, fit
from .run import load
from .unet import UNet

SAMPLERS = dict(ddpm=ddpm, ddim=ddim, heun=heun, dpmpp=dpmpp)  # what the programs offer
