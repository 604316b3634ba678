from dragonfly.training.modules import freeze, module_of
from dragonfly.training.recipe import Optim
from dragonfly.training.trainer import parameter_groups
from tests import tiny


def test_each_trained_parameter_is_in_one_group_with_its_modules_rate_and_no_norm_or_bias_is_decayed() -> None:
    model = tiny.model(tiny.config("low-only"))
    freeze(model, ["vision_tower", "multi_modal_projector", "language_model"])
    optim = Optim(
        learning_rate=1.0, learning_rates={"vision_tower": 0.1, "vision_tower.encoder.layers.1": 0.01}, weight_decay=0.5
    )
    groups = parameter_groups(model, optim)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    rates = {names[id(parameter)]: group["lr"] for group in groups for parameter in group["params"]}
    decays = {names[id(parameter)]: group["weight_decay"] for group in groups for parameter in group["params"]}
    assert sum(len(group["params"]) for group in groups) == len(rates)
    assert rates.keys() == {name for name in names.values() if not name.startswith("lm_head")}
    for name, rate in rates.items():
        expected = 0.01 if ".layers.1." in name and "vision" in name else 0.1 if "vision" in name else 1.0
        assert rate == expected, name
    for name, decay in decays.items():
        assert decay == (0.0 if name.endswith("bias") or "norm" in name or name.endswith("class_embedding") else 0.5), name
    assert "model.vision_tower.pre_layrnorm.weight" in rates and "model.multi_modal_projector.weight" in rates


def test_the_module_of_a_parameter_is_found_under_an_adapter_too() -> None:
    assert module_of("model.vision_tower.encoder.layers.0.mlp.fc1.weight").startswith("vision_tower.encoder")
    assert module_of("base_model.model.model.multi_modal_projector.modules_to_save.default.weight").startswith("multi_modal")
    assert module_of("base_model.model.lm_head.weight") == "lm_head.weight"
    assert module_of("head.weight") == "head.weight"
