import json
from dataclasses import fields, replace

import pytest

from tests.cache.filling import KEY
from transferkit.cache.key import EntryKey
from transferkit.core.errors import UsageError

OTHER = {"dtype": "float32", "format": 3, "transform": {**KEY.transform, "crop": 160}}


@pytest.mark.parametrize("name", [field.name for field in fields(EntryKey)])
def test_every_field_changes_the_digest(name):
    other = replace(KEY, **{name: OTHER.get(name, "other")})
    assert other.digest != KEY.digest
    assert [pair[0].split(".")[0] for pair in KEY.differences(other)] == [name]


def test_the_digest_is_the_same_on_every_machine_and_in_every_version():
    assert KEY.digest == "0d43e8bc18d58306327056779ee633e9c5a2f74f0489655073fc49b340a2bf40"


def test_a_key_survives_json():
    again = EntryKey.from_json(json.loads(json.dumps(KEY.to_json())))
    assert (again, again.digest, KEY.differences(again)) == (KEY, KEY.digest, [])


@pytest.mark.parametrize("value", [{"model": "m"}, {**KEY.to_json(), "more": 1}])
def test_json_of_something_else_is_no_key(value):
    with pytest.raises(TypeError):
        EntryKey.from_json(value)


def test_differences_name_the_field_and_both_values():
    other = replace(KEY, dtype="float32", transform={"resize": 256, "crop": 160, "fit": "squash"})
    assert KEY.differences(other) == [
        ("transform.crop", 224, 160),
        ("transform.mean", [0.5, 0.5, 0.5], None),
        ("dtype", "float16", "float32"),
        ("transform.fit", None, "squash"),
    ]


def test_an_unknown_dtype_is_rejected():
    with pytest.raises(UsageError, match=r"'int8'. Choose from: float16, float32"):
        replace(KEY, dtype="int8")
