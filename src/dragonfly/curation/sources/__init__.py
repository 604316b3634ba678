"""Every data set that the paper names, by name. docs/curation-sources.md is this table as a page."""

from .conversations import CAULDRON, MATHINSTRUCT, OPENHERMES, SVIT
from .figures import ARXIVCAP, MEDICAT, OPENPATH, ROCO
from .llava import (
    ALLAVA,
    LLAVA_MED_60K,
    LLAVA_MED_60K_IM,
    LLAVA_MED_ALIGNMENT,
    LLAVA_MED_INSTRUCT,
    LLAVA_PRETRAIN,
    SHAREGPT4V,
)
from .medical_qa import DDR, KAGGLE_DR, PATH_VQA, SLAKE, VQA_RAD
from .reports import IU_XRAY, MIMIC_CXR, PEIR_GROSS
from .source import Source

__all__ = ["SOURCES", "Source"]

_GENERAL = (SHAREGPT4V, ALLAVA, SVIT, CAULDRON, LLAVA_PRETRAIN, ARXIVCAP, OPENHERMES, MATHINSTRUCT)
_LLAVA_MED = (LLAVA_MED_ALIGNMENT, LLAVA_MED_INSTRUCT, LLAVA_MED_60K_IM, LLAVA_MED_60K)
_BIOMEDICAL = (*_LLAVA_MED, MEDICAT, MIMIC_CXR, OPENPATH, KAGGLE_DR, DDR, ROCO, VQA_RAD, SLAKE, PATH_VQA, IU_XRAY, PEIR_GROSS)

SOURCES: dict[str, Source] = {source.name: source for source in (*_GENERAL, *_BIOMEDICAL)}
