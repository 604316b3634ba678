"""Every data set that the paper names, by name. docs/curation-sources.md is this table as a page."""

from .articles import MEDICAT, ROCO
from .arxivcap import ARXIVCAP
from .biocaption import IU_XRAY, PEIR_GROSS
from .cauldron import CAULDRON
from .llava import ALLAVA, LLAVA_PRETRAIN, SHAREGPT4V
from .llava_med import LLAVA_MED_60K, LLAVA_MED_60K_IM, LLAVA_MED_ALIGNMENT, LLAVA_MED_INSTRUCT
from .mimic import MIMIC_CXR
from .openpath import OPENPATH
from .retinopathy import DDR, KAGGLE_DR
from .source import Source
from .svit import SVIT
from .text_only import MATHINSTRUCT, OPENHERMES
from .vqa import PATH_VQA, SLAKE, VQA_RAD

__all__ = ["SOURCES", "Source"]

_GENERAL = (SHAREGPT4V, ALLAVA, SVIT, CAULDRON, LLAVA_PRETRAIN, ARXIVCAP, OPENHERMES, MATHINSTRUCT)
_LLAVA_MED = (LLAVA_MED_ALIGNMENT, LLAVA_MED_INSTRUCT, LLAVA_MED_60K_IM, LLAVA_MED_60K)
_BIOMEDICAL = (*_LLAVA_MED, MEDICAT, MIMIC_CXR, OPENPATH, KAGGLE_DR, DDR, ROCO, VQA_RAD, SLAKE, PATH_VQA, IU_XRAY, PEIR_GROSS)

SOURCES: dict[str, Source] = {source.name: source for source in (*_GENERAL, *_BIOMEDICAL)}
