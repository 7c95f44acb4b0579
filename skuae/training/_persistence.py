"""Fitted estimators as a folder: config.json, model.safetensors and a README. No pickle."""


class PretrainedMixin:
    pass
