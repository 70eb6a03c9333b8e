//! Planted canaries of every kind, what must survive, and no panic on any text.

use proptest::prelude::*;

use super::*;
use crate::stream::{Entry, Labels};

const JWT: &str = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJjYW5hcnkifQ.c2lnbmF0dXJlY2FuYXJ5";

fn plain() -> Redactor {
    Redactor::new(Policy::default())
}

/// Builds a token at run time, so that no scanner takes the tests for a leak.
fn issued(prefix: &str, tail: usize) -> String {
    format!("{prefix}{}", "Ca9Nary7Qx".repeat(tail.div_ceil(10)).get(..tail).unwrap())
}

/// Line with `{}` where the canary goes, the canary, and the kind expected for it.
fn canaries() -> Vec<(&'static str, String, Kind)> {
    let own = |s: &str| s.to_owned();
    let mut all = vec![
        // headers: klog, JSON, Go's map, curl, nginx
        (r#"I0102 15:04:05.123456 1 round_trippers.go:469] Authorization: Bearer {}"#, own("canary"), Kind::Auth),
        (r#"{"headers":{"Authorization":["Bearer {}"],"Accept":["*/*"]}}"#, own("opaque-canary"), Kind::Auth),
        (
            r#"level=debug headers="map[Accept:[*/*] Authorization:[Basic {}]]""#,
            own("Y2FuYXJ5OmNhbmFyeQ=="),
            Kind::Auth,
        ),
        (r#"msg="{\"authorization\":\"token {}\"}" x=1"#, own("cAnary123456"), Kind::Auth),
        ("> GET / HTTP/1.1 > authorization: {} > accept: x", own("Can4ryCan4ry"), Kind::Auth),
        (r#"upstream sent "bearer {}" in header"#, own("cAnary.0123456789"), Kind::Auth),
        ("curl -H Authorization:%20Bearer%20{} http://x", own("cAnary0123456789"), Kind::Auth),
        ("Authorization: AWS4-HMAC-SHA256 {}", own("Credential=CANARYX/x, Signature=0123abc"), Kind::Auth),
        // cookies
        ("< Set-Cookie: {}", own("session=canary1; Path=/; HttpOnly"), Kind::Cookie),
        (r#"{"Cookie":["{}"]}"#, own("sid=canary; theme=dark"), Kind::Cookie),
        ("level=info cookie={} status=200", own("sid=canary"), Kind::Cookie),
        // passwords: logfmt, JSON, nested JSON, YAML, flags, ini, SQL, query strings, XML, Go structs
        ("ts=1 level=error user=admin password={} err=denied", own("canary"), Kind::Password),
        (r#"level=error db_password="{}" err=denied"#, own(r#"can ary\"x"#), Kind::Password),
        (r#"{"user":"a","adminPassword":"{}","n":1}"#, own("canary, with = and &"), Kind::Password),
        (r#"msg="payload {\"passwd\":\"{}\",\"a\":1}""#, own("can'ary"), Kind::Password),
        (r#"{"log":"{\"m\":\"{\\\"pwd\\\":\\\"{}\\\"}\"}"}"#, own("canary"), Kind::Password),
        ("  password: {}", own("canary"), Kind::Password),
        (
            "E0102 15:04:05.000000 7 db.go:1] connect failed: user=x pwd={}",
            own("/canary1=").replace('/', ""),
            Kind::Password,
        ),
        ("starting: /bin/app --db-password {} --v=2", own("canary"), Kind::Password),
        ("Server=db;Password={};Database=x", own("canary"), Kind::Password),
        ("password = {}", own("canary"), Kind::Password),
        ("STATEMENT: ALTER USER app PASSWORD '{}'", own("canary"), Kind::Password),
        ("GET /login?user=a&password={}&next=%2F HTTP/1.1", own("canary"), Kind::Password),
        ("POST body user%3Da%26password%3D{}", own("canary"), Kind::Password),
        ("<config><password>{}</password></config>", own("can ary"), Kind::Password),
        ("cfg={User:admin Password:{} Host:db}", own("canary"), Kind::Password),
        ("PGPASSWORD={} psql", own("c4n,ary;x"), Kind::Password),
        (r#"{"user":"a","pass":"{}"}"#, own("cAnary12"), Kind::Password),
        // tokens and keys
        (r#"{"X-Amz-Signature":"{}"}"#, own("0123canary"), Kind::Token),
        ("level=info token={} msg=x", own("canary"), Kind::Token),
        (r#"{"client_secret":"{}"}"#, own("canary"), Kind::Token),
        (r#"{"accessToken": "{}", "tokens": 17}"#, own("canary"), Kind::Token),
        ("aws_secret_access_key={}", own("canary/CANARY+x"), Kind::Token),
        ("GET /api?api_key={}&q=up", own("canary"), Kind::Token),
        ("X-Api-Key: {}", own("canary0canary"), Kind::Token),
        (r#"{"X-Vault-Token":["{}"]}"#, own("canary"), Kind::Token),
        ("kubeadm join 10.0.0.1:6443 --token {}", own("canary.0123456789abcdef"), Kind::Token),
        (r#"{"auths":{"ghcr.io":{"auth":"{}"}}}"#, own("Y2FuYXJ5OmNhbmFyeQ=="), Kind::Token),
        ("GET https://s3/x?X-Amz-Signature={}&X-Amz-Date=1", own("0123canary"), Kind::Token),
        ("DefaultEndpointsProtocol=https;AccountKey={};EndpointSuffix=core", own("Y2FuYXJ5/+=="), Kind::Token),
        // URLs
        ("dial postgres://{}@db:5432/app?sslmode=disable: refused", own("app:can@ary"), Kind::UrlUserinfo),
        (r#"{"url":"https://{}@git.example.com/x.git"}"#, own("oauth2:canary"), Kind::UrlUserinfo),
        ("clone https://{}@github.com/a/b", own("canary0123456789abcdef"), Kind::UrlUserinfo),
        ("dsn={}@tcp(db:3306)/app", own("app:canary"), Kind::UrlUserinfo),
        ("redis://{}@cache:6379/0", own(":canary"), Kind::UrlUserinfo),
        // by shape
        ("unexpected response to {} from server", own(JWT), Kind::Jwt),
        (r#"{"msg":"line\n{}"}"#, own(JWT), Kind::Jwt),
        (
            "key -----BEGIN EC PRIVATE KEY-----{}-----END EC PRIVATE KEY----- loaded",
            own("\\nMHcCanary\\n"),
            Kind::PrivateKey,
        ),
        ("key: -----BEGIN PRIVATE KEY-----{}", own("MIIEvCanaryCanaryCanary"), Kind::PrivateKey),
        (r#"{"tls.key":"{}"}"#, own("LS0tLS1CRUdJTiBSU0EgUFJJVkFURSBLRVktLS0tLQo="), Kind::PrivateKey),
        ("sops: {}", issued("AGE-SECRET-KEY-1", 40), Kind::PrivateKey),
    ];
    let prefixes = [
        ("ghp_", 36),
        ("gho_", 36),
        ("ghs_", 36),
        ("github_pat_", 60),
        ("glpat-", 20),
        ("glrt-", 20),
        ("sk-", 48),
        ("sk-proj-", 60),
        ("sk-ant-api03-", 60),
        ("sk_live_", 24),
        ("xoxb-", 40),
        ("xapp-", 40),
        ("AIza", 35),
        ("ya29.", 60),
        ("npm_", 36),
        ("hf_", 34),
        ("glsa_", 41),
        ("hvs.", 24),
        ("dckr_pat_", 27),
        ("pypi-", 60),
        ("whsec_", 32),
    ];
    all.extend(
        prefixes
            .map(|(prefix, tail)| ("level=warn msg=\"bad credential {} used\"", issued(prefix, tail), Kind::ApiKey)),
    );
    all.push(("user {} is not authorized", issued("AKIA", 16).to_uppercase(), Kind::ApiKey));
    all
}

#[test]
fn every_planted_canary_is_replaced_and_the_rest_of_the_line_stays() {
    let redactor = plain();
    for (line, canary, kind) in canaries() {
        let full = line.replace("{}", &canary);
        let expected = line.replace("{}", &format!("[REDACTED:{}]", kind.name()));
        // A key block goes with its markers.
        let expected = if expected.contains("-----BEGIN") { None } else { Some(expected) };
        let got = redactor.redact(&full);
        assert!(!got.to_lowercase().contains("canary"), "{full}\n  gave {got}");
        assert!(got.contains(&format!("[REDACTED:{}]", kind.name())), "{full}\n  gave {got}");
        if let Some(expected) = expected {
            assert_eq!(got, expected, "from {full}");
        }
        assert_eq!(redactor.redact(&got), got, "redacting twice changes nothing more");
    }
}

#[test]
fn a_canary_of_every_kind_is_planted() {
    let planted: Vec<Kind> = canaries().into_iter().map(|(_, _, kind)| kind).collect();
    let secrets = Kind::ALL.into_iter().filter(|kind| !matches!(kind, Kind::Email | Kind::Ip));
    secrets.for_each(|kind| assert!(planted.contains(&kind), "{}", kind.name()));
}

#[test]
fn evidence_stays_and_is_not_copied() {
    let lines = [
        r#"Failed to pull image "ghcr.io/a/b@sha256:4c1f5a0d2e8b9c3f4c1f5a0d2e8b9c3f4c1f5a0d2e8b9c3f4c1f5a0d2e8b9c3f""#,
        "level=error trace_id=4bf92f3577b34da6a3ce929d0e0e4736 span_id=00f067aa0ba902b7 msg=\"upstream failed\"",
        r#"E0102 15:04:05.123456 1 pod_workers.go:1300] "Error syncing pod" podUID="b3f0c1e2-9a7b-4c1d-8e2f-0123456789ab""#,
        r#"main: prompt_tokens = 512, n_tokens=17, "completion_tokens":40, eos_token_id=2"#,
        "print_info: EOS token        = 151645 '<|im_end|>'",
        "print_info: FIM PRE token    = 151659 '<|fim_prefix|>'",
        r#"level=warn err="unexpected token: \"}\" at line 3""#,
        "json: invalid token: unexpected end of input",
        r#"FATAL:  password authentication failed for user "app""#,
        r#"level=error err="no basic auth credentials""#,
        "failed to fetch anonymous token: unexpected status: 401 Unauthorized",
        r#"WWW-Authenticate: Bearer realm="https://auth.docker.io/token",service="registry.docker.io""#,
        "reading token=/var/run/secrets/kubernetes.io/serviceaccount/token: permission denied",
        r#"I0102 15:04:05.000000 1 x.go:1] "Unable to retrieve pull secret" secret="default/regcred" err="not found""#,
        r#"MountVolume.SetUp failed: secret "web-tls" not found"#,
        "unable to read secret: secrets \"x\" is forbidden: User \"system:serviceaccount:a:b\" cannot get resource",
        r#"{"password":null,"token":"","apiKey":false,"secret":{"name":"x"}}"#,
        "passed=12 bypass=true secretName=regcred tokenCount=4 token_limit=10",
        "git clone ssh://git@github.com/org/repo: Permission denied (publickey)",
        "getty@tty1.service: Succeeded",
        r#"time="2024-01-01T00:00:00Z" level=error msg="x509: certificate signed by unknown authority""#,
        "ETag \"5d41402abc4b2a76b9719d911017c592\" commit 9fceb02d0ae598e95dc970b74767f19372d61af8",
        r#"{"msg":"starting an etcd server","initial-cluster-token":"etcd-cluster","name":"node1"}"#,
        "password: too short, at least 8 characters",
        "Authorization: denied for all users",
        "cookie: not present in request",
        "bearer authentication required",
        "-----BEGIN CERTIFICATE----- is missing",
        "PWD=/home/app token=*** password=<redacted> secret=${DB_SECRET}",
    ];
    let redactor = plain();
    for line in lines {
        assert!(matches!(redactor.redact(line), Cow::Borrowed(same) if same == line), "{}", redactor.redact(line));
    }
}

#[test]
fn addresses_only_where_the_policy_asks() {
    let line = "dial tcp 10.20.30.40:9093 from [fe80::1c2d]:443, mail ops@example.com, at 14:03:07, v1.2.3, 127.0.0.1";
    assert_eq!(plain().redact(line), line);
    let all = Redactor::new(Policy { ip: true, email: true });
    let want =
        "dial tcp [REDACTED:ip]:9093 from [[REDACTED:ip]]:443, mail [REDACTED:email], at 14:03:07, v1.2.3, 127.0.0.1";
    assert_eq!(all.redact(line), want);
    for stays in ["std::fs::read 12:30:45.123", "getty@tty1.service git@github.com:a/b", "::1 0.0.0.0:80 addr=::"] {
        assert_eq!(all.redact(stays), stays);
    }
    assert_eq!(all.redact("peer=2001:db8::7, x"), "peer=[REDACTED:ip], x");
}

fn window(lines: &[(u32, &str)]) -> Window {
    let entry =
        |(i, (stream, line)): (usize, &(u32, &str))| Entry { ts: i as i64, stream: *stream, line: (*line).to_owned() };
    Window::new(vec![Labels::default(); 2], lines.iter().enumerate().map(entry).collect())
}

fn lines(window: &Window) -> Vec<&str> {
    window.entries.iter().map(|entry| entry.line.as_str()).collect()
}

#[test]
fn a_key_block_over_several_entries_goes_and_its_neighbours_stay() {
    let body = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQCanaryCanaryC";
    let mut window = window(&[
        (0, "writing key"),
        (0, "-----BEGIN RSA PRIVATE KEY-----"),
        (0, body),
        (1, "password=canary other stream"),
        (0, "level=info msg=\"interleaved line\""),
        (0, "q8Zt=="),
        (0, "-----END RSA PRIVATE KEY-----"),
        (0, "done"),
    ]);
    let counts = plain().redact_window(&mut window);
    let key = "[REDACTED:private_key]";
    let want = [
        "writing key",
        key,
        key,
        "password=[REDACTED:password] other stream",
        "level=info msg=\"interleaved line\"",
        key,
        key,
        "done",
    ];
    assert_eq!(lines(&window), want);
    assert_eq!((counts.get(Kind::PrivateKey), counts.get(Kind::Password), counts.total()), (4, 1, 5));
    assert_eq!(counts.to_string(), "private_key=4 password=1");
}

#[test]
fn a_key_block_that_began_before_the_window_goes() {
    let body = "2024-01-01T00:00:00Z stdout F MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQCanaryCanaryC";
    let mut window = window(&[(0, "starting"), (0, body), (0, "-----END PRIVATE KEY-----"), (0, "level=info msg=up")]);
    plain().redact_window(&mut window);
    let want = [
        "starting",
        "2024-01-01T00:00:00Z stdout F [REDACTED:private_key]",
        "[REDACTED:private_key]",
        "level=info msg=up",
    ];
    assert_eq!(lines(&window), want);
}

#[test]
fn a_certificate_is_public() {
    let mut window = window(&[
        (0, "-----BEGIN CERTIFICATE-----"),
        (0, "MIIDdzCCAl+gAwIBAgIEAgAAuTANBgkqhkiG9w0BAQUFADBa"),
        (0, "-----END CERTIFICATE-----"),
    ]);
    let before = window.clone();
    assert_eq!(plain().redact_window(&mut window).total(), 0);
    assert_eq!(window, before);
}

/// Read once for each key, these would take minutes.
#[test]
fn a_line_full_of_keys_is_read_a_bounded_number_of_times() {
    for part in [
        "password=",
        "password.",
        "token.",
        "token:/",
        "secret:a/",
        "auth=/",
        "password=${",
        "password=.REDACTED:",
        "password=\\\"",
        "authorization: digest a ",
        "-----BEGIN PRIVATE KEY----- ",
        "password,",
        "Cookie: a=b",
    ] {
        let line = part.repeat((1 << 18) / part.len()) + &".".repeat(1 << 17);
        let got = plain_shared().redact(&line).into_owned();
        assert!(got.len() <= 2 * line.len(), "{part}");
    }
}

proptest! {
    #[test]
    fn any_text_survives(line in "\\PC*", ip: bool, email: bool) {
        let redactor = Redactor::new(Policy { ip, email });
        let once = redactor.redact(&line).into_owned();
        let mut one = window(&[(0, &line), (0, "-----BEGIN PRIVATE KEY-----"), (0, &line), (0, "-----END PRIVATE KEY-----")]);
        redactor.redact_window(&mut one);
        prop_assert_eq!(&one.entries[0].line, &once);
    }

    #[test]
    fn text_made_of_triggers_survives_and_settles(
        parts in prop::collection::vec(prop::sample::select(vec![
            "password", "token", "secret", "=", ":", "\"", "\\", "'", "[", "]", "{", " ", "@", "://", "é", "ab12CD34ef",
            "-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----", "Authorization", "Bearer ", "eyJabcdefghijkl.",
            "Cookie: ", "&", ",", "a=b", "sk-", "10.0.0.1", "::", "\n", "<", ">", "--", "%3D", "[REDACTED:token]",
        ]), 0..24)
    ) {
        let line = parts.concat();
        let redactor = Redactor::new(Policy { ip: true, email: true });
        let got = redactor.redact(&line);
        prop_assert!(got.is_char_boundary(got.len()));
    }

    #[test]
    fn a_password_never_survives_in_logfmt_or_json(secret in "[A-Za-z0-9!#%*+./:=?^_~-]{6,24}", key in "[a-z]{0,6}_?password") {
        prop_assume!(secret.bytes().any(|b| !matches!(b, b'x' | b'X' | b'*' | b'.')));
        prop_assume!(!["hidden", "masked", "redacted", "undefined"].contains(&secret.trim_matches(['.', ':']).to_ascii_lowercase().as_str()));
        for line in [format!("a=1 {key}={secret} b=2"), format!(r#"{{"{key}":"{secret}"}}"#), format!(r#"m="{{\"{key}\":\"{secret}\"}}""#)] {
            let got = plain_shared().redact(&line).into_owned();
            prop_assert!(!got.contains(&secret), "{} gave {}", line, got);
        }
    }
}

fn plain_shared() -> &'static Redactor {
    static SHARED: std::sync::OnceLock<Redactor> = std::sync::OnceLock::new();
    SHARED.get_or_init(plain)
}

#[test]
fn a_large_window_is_redacted_as_its_lines_are() {
    let redactor = plain();
    let line = |number: usize| match number % 7 {
        0 => format!("level=error password=Ca9nary{number} err=denied"),
        1 => format!("> authorization: Bearer cAnary012345678{number}"),
        _ => format!("level=info msg=\"request {number} served\" took=5ms"),
    };
    let mut lines: Vec<String> = (0..PART + 100).map(line).collect();
    // A key whose lines are in two parts.
    let (begin, end) = (PART - 3, PART + 3);
    lines[begin] = "-----BEGIN PRIVATE KEY-----".to_owned();
    lines[begin + 1..end].iter_mut().for_each(|line| *line = "Q2FuYXJ5Q2FuYXJ5Q2FuYXJ5".repeat(2));
    lines[end] = "-----END PRIVATE KEY-----".to_owned();
    let entry = |(ts, line): (i64, &String)| Entry { ts, stream: 0, line: line.clone() };
    let mut window = Window::new(vec![Labels::default()], (0..).zip(&lines).map(entry).collect());
    let counts = redactor.redact_window(&mut window);
    let mut secrets = 0;
    for (number, (entry, line)) in window.entries.iter().zip(&lines).enumerate() {
        let expected = redactor.redact(line);
        if (begin..=end).contains(&number) {
            assert_eq!(entry.line, "[REDACTED:private_key]");
        } else {
            assert_eq!(entry.line, expected);
            secrets += u64::from(expected != *line);
        }
    }
    assert_eq!(counts.get(Kind::PrivateKey), (end - begin + 1) as u64);
    assert_eq!(counts.total(), secrets + counts.get(Kind::PrivateKey));
}
