"""Where OpenLineage events are sent: what the configuration may say, and what it needs."""

import pytest

from lakehouse import Lake
from lakehouse.errors import ConfigError

TO_A_FILE = "openlineage: {transport: {type: file, path: events.jsonl}}"


def test_without_a_configuration_nothing_of_it_is_imported(project):
    project.deliver("morning.csv", project.morning)
    code = "import sys; from lakehouse import Lake; Lake('configs').run('nightly'); print('openlineage' in sys.modules)"
    alone = project.start("-c", code)
    assert alone.communicate(timeout=60)[0].strip() == "False"


def test_a_missing_package_is_named_with_its_extra(project):
    project.change("lakehouse", "", TO_A_FILE)
    code = "import sys; sys.modules['openlineage'] = None; from lakehouse.cli import main; main()"
    alone = project.start("-c", code, "run", "nightly")
    _, complaint = alone.communicate(timeout=60)
    assert alone.returncode == 2
    assert "ConfigError: configs/lakehouse.yaml: openlineage: needs the package openlineage-python" in complaint
    assert "lakehouse[openlineage]" in complaint
    assert not (project.folder / "data").exists()


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("{}", "openlineage.transport: is required and missing"),
        ("{transport: {type: kafka}}", "openlineage.transport.type: allowed is 'file', 'console' or 'http'"),
        ("{transport: {type: file}}", "path: is required with type: file"),
        ("{transport: {type: http}}", "url: is required with type: http"),
        ("{transport: {type: file, path: a, url: http://b}}", "url: does not belong to type: file"),
        ("{transport: {type: console, path: a}}", "path: does not belong to type: console; it has no other keys"),
        ("{transport: {type: http, url: ftp://a}}", "openlineage.transport.url: found 'ftp://a'"),
        ("{transport: {type: http, url: http://a, timeout: 2h}}", "openlineage.transport.timeout"),
        ("{transport: {type: http, url: http://a, auth: {type: api_key}}}", "auth.api_key: is required"),
        ("{transport: {type: http, url: http://a, retries: 3}}", "openlineage.transport.retries: unknown key"),
        ("{transprot: {type: console}}", "openlineage.transprot: unknown key. Did you mean 'transport'?"),
        ("{transport: {type: http, url: http://a, auth: {type: api_key, api_key: '${UNSET}'}}}", "UNSET is not set"),
    ],
)
def test_what_is_wrong_in_the_configuration_is_told(project, given, problem):
    project.change("lakehouse", "", f"openlineage: {given}")
    with pytest.raises(ConfigError) as raised:
        project.lake()
    assert problem in str(raised.value)


def test_an_environment_may_send_elsewhere_or_nowhere(project):
    project.change("lakehouse", "", TO_A_FILE)
    project.change(
        "lakehouse",
        "",
        f"environments: {{quiet: {{openlineage: null}}, other: {{{TO_A_FILE.replace('events', 'other')}}}}}",
    )
    events, other = project.folder / "events.jsonl", project.folder / "other.jsonl"
    with Lake(project.folder / "configs", env="quiet") as lake:
        lake.run("nightly")
    assert not events.exists()
    with Lake(project.folder / "configs", env="other") as lake:
        lake.run("nightly")
    assert (other.exists(), events.exists()) == (True, False)
    project.run()
    assert events.exists()
