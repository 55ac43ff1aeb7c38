"""Where settings come from: precedence, secrets in files, and every way to get it wrong."""

import itertools

import pytest

from tocsin.settings.setting import SettingsError
from tocsin.settings.sources import load_settings, resolve

SECRET = {source: source[0] * 32 for source in ("flag", "environment", "secret file", "toml")}
# Best first. The secret can come from all of them, so it is what precedence is tried on.
SOURCES = list(SECRET)


@pytest.fixture
def write(tmp_path):
    """Writes a file and returns its path as text."""

    def write(name, content):
        (tmp_path / name).write_text(content)
        return str(tmp_path / name)

    return write


@pytest.fixture
def give(write):
    """Flags and environment that give the secret by these sources."""

    def give(sources):
        flags, environ = {}, {}
        if "flag" in sources:
            flags["jwt_secret"] = SECRET["flag"]
        if "environment" in sources:
            environ["TOCSIN_JWT_SECRET"] = SECRET["environment"]
        if "secret file" in sources:
            environ["TOCSIN_JWT_SECRET_FILE"] = write("secret", SECRET["secret file"])
        if "toml" in sources:
            flags["config"] = write("t.toml", f'jwt_secret = "{SECRET["toml"]}"')
        return flags, environ

    return give


def problems(flags, environ):
    with pytest.raises(SettingsError) as caught:
        load_settings(flags, environ)
    return [str(problem) for problem in caught.value.problems]


def problem(flags, environ):
    (only,) = problems(flags, environ)
    return only


PAIRS = [
    pair for pair in itertools.combinations(SOURCES, 2) if pair != ("environment", "secret file")
]


@pytest.mark.parametrize(("better", "worse"), PAIRS)
def test_the_better_source_wins(give, better, worse):
    assert load_settings(*give((better, worse))).jwt_secret == SECRET[better]


@pytest.mark.parametrize("source", SOURCES)
def test_every_source_wins_over_the_default_and_is_named_as_the_origin(give, source):
    resolved = resolve(*give((source,)))
    assert resolved.settings.jwt_secret == SECRET[source]
    origin = {
        "flag": "flag --jwt-secret",
        "environment": "environment variable TOCSIN_JWT_SECRET",
        "secret file": "TOCSIN_JWT_SECRET_FILE",
        "toml": "t.toml, key jwt_secret",
    }[source]
    assert origin in resolved.origins["jwt_secret"]


def test_a_setting_given_nowhere_has_its_default():
    assert resolve({}, {}).origins["port"] == "default"


def test_a_secret_given_by_variable_and_by_file_is_refused(give):
    text = problem(*give(("environment", "secret file")))
    assert "given twice" in text
    assert SECRET["environment"] not in text


def test_only_secrets_can_come_from_files(write):
    text = problem({}, {"TOCSIN_PORT_FILE": write("port", "1")})
    assert "TOCSIN_PORT_FILE is no setting" in text


@pytest.mark.parametrize(
    ("content", "secret"),
    [
        ("x" * 32 + "\n", "x" * 32),
        ("x" * 32 + "\r\n", "x" * 32),
        ("x" * 32 + "\n\n", "x" * 32 + "\n"),
    ],
)
def test_one_newline_at_the_end_of_a_secret_file_is_left_out(tmp_path, content, secret):
    (tmp_path / "secret").write_bytes(content.encode())
    settings = load_settings({}, {"TOCSIN_JWT_SECRET_FILE": str(tmp_path / "secret")})
    assert settings.jwt_secret == secret


def test_a_database_with_its_password_can_come_from_a_file(write):
    environ = {"TOCSIN_DATABASE_FILE": write("dsn", "postgres://u:p@db/tocsin\n")}
    assert load_settings({}, environ).database_url == "postgres://u:p@db/tocsin"


def test_a_secret_file_that_cannot_be_read_is_a_problem_with_its_path(tmp_path):
    text = problem({}, {"TOCSIN_JWT_SECRET_FILE": str(tmp_path / "missing")})
    assert "jwt_secret cannot be read from its file: No such file" in text
    assert f"{tmp_path}/missing (environment variable TOCSIN_JWT_SECRET_FILE)" in text


@pytest.mark.parametrize(("content", "wrong"), [(b"\xff" * 32, "not UTF-8"), (b"\n", "is empty")])
def test_a_secret_file_without_a_text_is_a_problem(tmp_path, content, wrong):
    (tmp_path / "secret").write_bytes(content)
    assert wrong in problem({}, {"TOCSIN_JWT_SECRET_FILE": str(tmp_path / "secret")})


def test_every_sort_of_value_can_stand_in_the_toml_file(write):
    path = write(
        "t.toml",
        'port = 9000\nretention = "30d"\nheartbeat = 2.5\nbody_bytes_max = "2MiB"\n'
        'origins = ["https://a.example", "https://b.example"]\nlog_format = "json"\n',
    )
    settings = load_settings({}, {"TOCSIN_CONFIG": path})
    assert (settings.port, settings.retention, settings.heartbeat) == (9000, 30 * 86_400, 2.5)
    assert settings.origins == ("https://a.example", "https://b.example")
    assert (settings.body_bytes_max, settings.log_format) == (2 << 20, "json")


def test_the_config_flag_wins_over_its_variable(write):
    flags = {"config": write("flag.toml", "port = 1")}
    assert load_settings(flags, {"TOCSIN_CONFIG": write("variable.toml", "port = 2")}).port == 1


def test_lists_in_variables_are_separated_by_commas():
    environ = {"TOCSIN_ORIGINS": "https://a.example, https://b.example"}
    assert load_settings({}, environ).origins == ("https://a.example", "https://b.example")


def test_an_empty_variable_counts_as_not_given():
    assert load_settings({}, {"TOCSIN_JWT_SECRET": "", "TOCSIN_PORT": ""}).port == 8080


def test_an_empty_flag_is_a_mistake():
    assert "host is empty" in problem({"host": ""}, {})


JWKS = "https://id.example/keys"


@pytest.mark.parametrize("how", ["flag", "variable", "file"])
def test_no_audience_is_something_to_say_and_not_the_same_as_nothing(write, how):
    said = {
        "flag": ({"jwks_url": JWKS, "jwt_audience": "none"}, {}),
        "variable": ({"jwks_url": JWKS}, {"TOCSIN_JWT_AUDIENCE": "none"}),
        "file": ({"jwks_url": JWKS, "config": write("t.toml", 'jwt_audience = "none"')}, {}),
    }[how]
    assert load_settings(*said).audience is None


@pytest.mark.parametrize("environ", [{}, {"TOCSIN_JWT_AUDIENCE": ""}])
def test_a_key_set_without_a_word_about_the_audience_is_refused(environ):
    text = problem({"jwks_url": JWKS}, environ)
    assert "jwks_url comes without jwt_audience" in text
    assert "or to `none` to take any" in text
    assert "jwks_url: flag --jwks-url, jwt_audience: default" in text


def test_hosts_and_networks_are_arrays_in_a_file(write):
    file = write("t.toml", 'host = ["127.0.0.1", "::1"]\nforwarded_from = ["10.0.0.0/8"]')
    settings = load_settings({"config": file}, {})
    assert settings.host == ("127.0.0.1", "::1")
    assert [str(each) for each in settings.forwarded_from] == ["10.0.0.0/8"]
    assert not settings.is_local


@pytest.mark.parametrize(("name", "default"), [("metrics_port", None), ("origins", ())])
def test_none_takes_back_what_a_worse_source_gives(name, default):
    environ = {"TOCSIN_METRICS_PORT": "9100", "TOCSIN_ORIGINS": "https://a.example"}
    assert getattr(load_settings({name: "none"}, environ), name) == default


def test_an_unknown_variable_is_refused_with_the_one_that_was_meant():
    text = problem({}, {"TOCSIN_RETENTOIN": "1d"})
    assert "TOCSIN_RETENTOIN is no setting" in text
    assert "did you mean TOCSIN_RETENTION?" in text


def test_a_variable_like_no_other_is_refused_without_a_guess():
    text = problem({}, {"TOCSIN_XYZZY": "1"})
    assert "did you mean" not in text
    assert "tocsin config docs" in text


def test_variables_of_the_tests_and_of_other_programs_are_left_alone():
    load_settings({}, {"TOCSIN_TEST_DATABASE_URL": "x", "OTHER": "x", "TOCSINX": "x"})


def test_variables_that_kubernetes_adds_for_a_service_are_explained():
    texts = problems({}, {"TOCSIN_SERVICE_HOST": "10.0.0.1", "TOCSIN_PORT": "tcp://10.0.0.1:80"})
    assert any("enableServiceLinks: false" in text for text in texts)
    assert any("TOCSIN_PORT" in text and "not a whole number" in text for text in texts)


def test_an_unknown_key_is_refused_with_the_one_that_was_meant(write):
    text = problem({"config": write("t.toml", "resend_dealy = 1")}, {})
    assert "resend_dealy is no setting" in text
    assert "did you mean resend_delay?" in text
    assert "t.toml" in text


def test_a_table_in_the_file_is_refused_and_told_where_settings_stand(write):
    text = problem({"config": write("t.toml", "[server]\nport = 1")}, {})
    assert "server is no setting" in text
    assert "not in tables" in text


def test_a_file_that_is_missing_or_no_toml_is_a_problem(tmp_path, write):
    assert "No such file" in problem({"config": str(tmp_path / "missing.toml")}, {})
    assert "not TOML" in problem({"config": write("t.toml", "port = ")}, {})
    (tmp_path / "bytes.toml").write_bytes(b"\xff")
    assert "not UTF-8" in problem({"config": str(tmp_path / "bytes.toml")}, {})


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("port = true", "not a whole number"),
        ("retention = inf", "not a duration"),
        ("host = 1", "not a list of texts"),
        ("origins = [1]", "not a list of texts"),
        ("data = {}", "not text"),
        ('log_level = "loud"', "not one of debug, info"),
        ('jwks_url = "ftp://a"', "not an https:// address"),
    ],
)
def test_a_key_with_a_value_of_the_wrong_sort_is_refused(write, line, wrong):
    assert wrong in problem({"config": write("t.toml", line)}, {})


def test_a_value_out_of_bounds_is_refused_with_its_origin():
    text = problem({}, {"TOCSIN_WINDOW": "5000"})
    assert "window is 5000, above the most, 1024" in text
    assert "from: environment variable TOCSIN_WINDOW" in text
    assert "from 1 to 1024" in text


def test_a_negative_duration_is_told_its_bounds():
    assert "below the least, 10ms" in problem({"resend_delay": "-3s"}, {})


def test_a_contradiction_names_the_origins_of_both_sides():
    text = problem({"store_timeout": "2m"}, {})
    assert "store_timeout: flag --store-timeout, request_timeout: default" in text


def test_a_contradiction_to_an_unreadable_setting_is_not_reported():
    assert "not a duration" in problem({"store_timeout": "2m", "request_timeout": "x"}, {})


def test_mistakes_in_all_sources_are_listed_together(write):
    flags = {"port": "x", "config": write("t.toml", "nonsense = 1\nworkers = 0")}
    texts = problems(flags, {"TOCSIN_HEARTBEAT": "-1", "TOCSIN_NO": "1"})
    for expected in ("--port", "nonsense", "workers", "TOCSIN_HEARTBEAT", "TOCSIN_NO"):
        assert any(expected in text for text in texts)
    assert len(texts) == 5


def test_other_databases_are_refused_with_the_accepted_forms_and_no_password():
    text = problem({"database": "mysql://root:hunter2@db/x"}, {})
    for form in ("postgres://", "postgresql://", "sqlite:///"):
        assert form in text
    assert "hunter2" not in text


def test_a_short_secret_is_refused_unseen():
    text = problem({}, {"TOCSIN_JWT_SECRET": "hunter2", "TOCSIN_HOST": "0.0.0.0"})
    assert "fewer than 32 bytes" in text
    assert "hunter2" not in text


def test_a_given_secret_is_in_no_repr(give):
    assert SECRET["flag"] not in repr(resolve(*give(("flag",))))
