"""Secrets: put in where they are asked for, and printed nowhere."""

import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.config import load
from lakehouse.config.problems import File, Problems
from lakehouse.config.secrets import Secrets
from lakehouse.config.yaml import Document
from lakehouse.errors import ConfigError

SECRET = 'hunter22/€ "q"'
HTTP = """\
type: http
url: https://x.example/${KEY}?a=$${b}
headers: {Authorization: "Bearer ${TOKEN}"}
format: csv
"""


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "configs"
    (made / "sources").mkdir(parents=True)
    return made


def source(folder, text, **environ):
    (folder / "sources/s.yaml").write_text(text)
    config = load(folder, environ=environ)
    return config, config.source("s")


def problems(folder, text, **environ):
    with pytest.raises(ConfigError) as caught:
        source(folder, text, **environ)
    shown = "".join(traceback.format_exception(caught.value))
    for value in environ.values():
        assert not value or value not in shown
    return str(caught.value)


def test_secrets_are_put_in_and_not_shown(folder):
    config, made = source(folder, HTTP, KEY="k3y-value", TOKEN="t0ken-value")
    assert made.url == "https://x.example/k3y-value?a=${b}"
    assert made.headers["Authorization"].get_secret_value() == "Bearer t0ken-value"
    assert "t0ken" not in repr(config)
    assert "t0ken" not in repr(made)
    [offer] = made.offers({}, None)
    assert offer.origin == "https://x.example/***?a=${b}"


def test_every_missing_secret_is_named_at_once(folder):
    text = problems(folder, HTTP, TOKEN="")
    assert "sources/s.yaml:2: url: the environment variable KEY is not set" in text
    assert "sources/s.yaml:3: headers.Authorization: the environment variable TOKEN is empty" in text


@pytest.mark.parametrize(
    "text",
    [
        "type: http\nurl: https://x.example\nheaders: {Authorization: '${TOKEN}'}\nformat: csv\n",
        "type: http\nurl: https://x.example\nheaders: {Authorization: 'Bearer ${TOKEN}'}\nformat: csv\n",
        "type: http\nurl: ${TOKEN}\nformat: csv\n",
        "type: http\nurl: https://x.example\ntimeout: ${TOKEN}\nformat: csv\n",
        "type: http\nurl: https://x.example\nformat: {type: csv, delimiter: '${TOKEN}'}\n",
    ],
)
def test_of_a_value_whose_secret_is_missing_only_that_is_told(folder, text):
    for environ in ({}, {"TOKEN": ""}):
        told = problems(folder, text, **environ)
        assert "environment variable TOKEN is" in told
        assert told.startswith("1 problem in"), told


@pytest.mark.parametrize("text", ["metadata: ${URL}\n", "environments: {prod: {metadata: '${URL}'}}\n"])
def test_of_a_setting_whose_secret_is_missing_only_that_is_told(folder, text):
    (folder / "lakehouse.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"^1 problem in .*\n.* environment variable URL is not set; set it$"):
        load(folder, env="prod" if "prod" in text else None, environ={})


def test_another_problem_beside_a_missing_secret_is_told_too(folder):
    told = problems(folder, HTTP.replace("headers: {", "headers: {'a b': x, "), KEY="k3y-value")
    assert "the environment variable TOKEN is not set" in told
    assert "the name of a header" in told


def test_a_secret_from_a_file_loses_its_last_line_break(folder, tmp_path):
    (tmp_path / "token").write_text("fr0m-file\n")
    _, made = source(folder, HTTP.replace("${TOKEN}", "${file:token}"), KEY="k")
    assert made.headers["Authorization"].get_secret_value() == "Bearer fr0m-file"
    _, made = source(folder, HTTP.replace("${TOKEN}", f"${{file:{tmp_path}/token}}"), KEY="k")
    assert made.headers["Authorization"].get_secret_value() == "Bearer fr0m-file"


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        ("${file:/nowhere/x}", "'/nowhere/x' cannot be read: No such file"),
        ("${file:.}", "is not a file"),
        ("${file:/dev/zero}", "is not a file"),
        ("${file:empty}", "is empty"),
        ("${file:latin}", "not UTF-8"),
        ("${a b}", "neither ${ENV_NAME} nor ${file:/path}"),
        ("${}", "neither"),
        ("${KEY", "has no '}'"),
    ],
)
def test_a_reference_that_leads_nowhere_is_refused(folder, tmp_path, reference, says):
    (tmp_path / "empty").touch()
    (tmp_path / "latin").write_bytes(b"\xe9\xe9\xe9\xe9")
    assert says in problems(folder, HTTP.replace("${TOKEN}", reference), KEY="k3y-value")


def test_a_secret_in_a_wrong_value_is_not_shown(folder):
    text = problems(
        folder, "type: http\nurl: ${KEY}\ntimeout: ${TOKEN}\nformat: csv\n", KEY="ftp://s3cret", TOKEN="t0ken-x"
    )
    assert "url: found '${KEY}': must be an address" in text
    assert "timeout: found '${TOKEN}'" in text


@pytest.mark.parametrize("value", ["31415926", "[31415926]", "{a: 31415926}"])
def test_a_secret_written_out_in_a_wrong_header_is_not_shown(folder, value):
    text = problems(folder, f"type: http\nurl: http://x.example\nheaders: {{X-Key: {value}}}\nformat: csv\n")
    assert "headers.X-Key" in text
    assert "31415926" not in text


def test_a_password_written_out_in_a_wrong_url_is_not_shown(folder):
    assert "hunter22" not in problems(folder, "type: http\nurl: 'ftp://me:hunter22@x.example'\nformat: csv\n")


def test_the_ledgers_password_is_redacted_also_without_a_reference(folder):
    (folder / "lakehouse.yaml").write_text("metadata: postgresql+psycopg://me:hunter%2F22@db/lake\n")
    config = load(folder, environ={})
    assert config.redact("x hunter%2F22 hunter/22") == "x *** ***"
    assert "hunter" not in repr(config)


def test_references_stand_for_themselves_in_datasets(folder):
    (folder / "sources/s.yaml").write_text("type: files\npath: x\nformat: csv\n")
    (folder / "datasets/a").mkdir(parents=True)
    text = "source: s\ndescription: ${NOT_A_SECRET}\nschema: {features: {x: {type: int}}}\n"
    (folder / "datasets/a/b.yaml").write_text(text)
    assert load(folder, environ={}).dataset("a/b").description == "${NOT_A_SECRET}"


def test_the_fingerprint_does_not_depend_on_secrets(folder):
    (folder / "datasets/a").mkdir(parents=True)
    (folder / "datasets/a/b.yaml").write_text("source: s\nschema: {features: {x: {type: int}}}\n")
    prints = set()
    for value in ("one-value", "two-value"):
        config, made = source(folder, HTTP, KEY=value, TOKEN=value)
        prints.add(config.dataset("a/b").fingerprint(made))
    assert len(prints) == 1


def secrets(tmp_path, **environ):
    return Secrets(environ, tmp_path, Problems())


def test_every_written_form_of_a_secret_is_redacted(tmp_path):
    import json
    from urllib.parse import quote, quote_plus

    made = secrets(tmp_path, S=SECRET)
    made.fill("${S}", File("f", Document({}, {})))
    text = made.redact(f"{SECRET}|{quote(SECRET, safe='')}|{quote_plus(SECRET)}|{json.dumps(SECRET)[1:-1]}|{SECRET!r}")
    assert text == "***|***|***|***|'***'"
    assert "hunter" not in repr(made)


def test_a_very_short_value_is_put_in_but_not_redacted(tmp_path):
    made = secrets(tmp_path, S="abc")
    assert made.fill("${S}", File("f", Document({}, {}))) == "abc"
    assert made.redact("abc") == "abc"


@given(value=st.text(min_size=4, max_size=30), before=st.text(max_size=10), after=st.text(max_size=10))
def test_no_text_that_held_a_secret_holds_it_once_redacted(tmp_path_factory, value, before, after):
    made = secrets(tmp_path_factory.getbasetemp())
    made.hide(value)
    shown = made.redact(before + value + after)
    assert value not in shown or value in before + "***" + after or value.strip("*") == ""
