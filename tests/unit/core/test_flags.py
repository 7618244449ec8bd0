from __future__ import annotations

import pytest

from cachecore.adapters.flags import FlagParser, environment_variable, port_number, positive_seconds


def parser(**environment: str) -> FlagParser:
    flags = FlagParser(prog="tester", environment=environment)
    flags.add_common_flags(port=8080)
    flags.add_flag("--leader-election", default=True, help="campaign for the lease")
    flags.add_flag("--timeout-seconds", default=5.0, type=positive_seconds, help="100% patience")
    return flags


def test_a_flag_has_its_default() -> None:
    flags = parser().parse_flags([])
    assert (flags.port, flags.leader_election, flags.timeout_seconds) == (8080, True, 5.0)


def test_the_environment_wins_over_the_default_and_is_typed() -> None:
    environment = {"LOCALMODEL_PORT": "9090", "LOCALMODEL_LEADER_ELECTION": "no", "LOCALMODEL_LOG_LEVEL": "debug"}
    flags = parser(**environment).parse_flags([])
    assert (flags.port, flags.leader_election, flags.log_level) == (9090, False, "debug")


def test_the_command_line_wins_over_the_environment() -> None:
    flags = parser(LOCALMODEL_PORT="9090", LOCALMODEL_LEADER_ELECTION="false")
    found = flags.parse_flags(["--port", "7070", "--leader-election"])
    assert (found.port, found.leader_election) == (7070, True)


def test_help_names_variable_and_default_of_each_flag() -> None:
    text = " ".join(parser().format_help().split())
    assert "port of health and metrics; 0: any free one [LOCALMODEL_PORT; default: 8080]" in text
    assert "100% patience [LOCALMODEL_TIMEOUT_SECONDS; default: 5.0]" in text
    assert "--no-leader-election campaign for the lease [LOCALMODEL_LEADER_ELECTION; default: true]" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--port", "70000"], "argument --port: 70000 is no port: 0 to 65535"),
        (["--port", "x"], "argument --port: invalid port_number value: 'x'"),
        (["--log-level", "loud"], "argument --log-level: invalid choice: 'loud'"),
        (["--timeout-seconds", "-1"], "argument --timeout-seconds: -1 is not a positive number of seconds"),
        (["--timeout", "1"], "unrecognized arguments: --timeout 1"),
    ],
)
def test_a_wrong_flag_is_one_clear_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parser().parse_flags(arguments)
    text = capsys.readouterr().err
    assert caught.value.code == 2
    assert text.startswith(f"tester: error: {message}")
    assert text.count("\n") == 1


@pytest.mark.parametrize(
    ("variable", "text", "message"),
    [
        ("LOCALMODEL_PORT", "x", "environment variable LOCALMODEL_PORT: 'x' is not acceptable"),
        ("LOCALMODEL_LOG_FORMAT", "xml", "environment variable LOCALMODEL_LOG_FORMAT: 'xml' is not one of: json, text"),
        ("LOCALMODEL_LEADER_ELECTION", "maybe", "environment variable LOCALMODEL_LEADER_ELECTION: 'maybe' is not"),
    ],
)
def test_a_wrong_variable_is_named(variable: str, text: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser(**{variable: text})
    assert message in capsys.readouterr().err


def test_the_environment_satisfies_a_required_flag(capsys: pytest.CaptureFixture[str]) -> None:
    def required(**environment: str) -> FlagParser:
        flags = FlagParser(prog="tester", environment=environment)
        flags.add_flag("--node-name", required=True, help="the node")
        return flags

    assert required(LOCALMODEL_NODE_NAME="n").parse_flags([]).node_name == "n"
    with pytest.raises(SystemExit):
        required().parse_flags([])
    assert "--node-name" in capsys.readouterr().err


def test_a_flag_has_one_variable() -> None:
    assert environment_variable("--log-level") == "LOCALMODEL_LOG_LEVEL"
    assert port_number("0") == 0
