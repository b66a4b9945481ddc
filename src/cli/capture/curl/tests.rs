//! Commands as browsers copy them and as people write them.

use super::*;

fn good(command: &str) -> Captured {
    parse(command.as_bytes()).unwrap_or_else(|why| panic!("{command}: {why:?}"))
}

fn fields(captured: &Captured) -> Vec<String> {
    captured.head.headers().iter().map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value))).collect()
}

fn refused(command: &str) -> String {
    parse(command.as_bytes()).unwrap_err().0
}

#[test]
fn what_chrome_copies_is_read() {
    let captured = good(
        "curl 'https://hooks.example.com:8443/hooks/x?a=1&b=2' \\\n  -H 'accept: */*' \\\n  -H 'content-type: application/json' \\\n  \
         -H 'x-empty;' \\\n  -b 'sid=1; t=2' \\\n  --data-raw $'{\"it\\'s\":\"\\u00e9\\n\\u0021\"}' \\\n  --compressed \\\n  --insecure\n",
    );
    let head = &captured.head;
    assert_eq!((head.method(), head.host()), (Method::Post, "hooks.example.com:8443"));
    assert_eq!((head.path(), head.query()), ("/hooks/x", Some("a=1&b=2")));
    assert_eq!(fields(&captured), ["accept: */*", "content-type: application/json", "x-empty: ", "Cookie: sid=1; t=2"]);
    assert_eq!(captured.body, "{\"it's\":\"é\n!\"}".as_bytes());
}

#[test]
fn data_is_put_together_as_curl_does() {
    for (options, method, content_type, body) in [
        ("-d a=1 -d 'b=2 3'", "POST", "application/x-www-form-urlencoded", "a=1&b=2 3"),
        ("--data-ascii 'a\nb'", "POST", "application/x-www-form-urlencoded", "a\nb"),
        ("--data-raw @x", "POST", "application/x-www-form-urlencoded", "@x"),
        ("--json '{\"a\":' --json 1}", "POST", "application/json", "{\"a\":1}"),
        (
            "--data-urlencode 'a=b c&' --data-urlencode '=d/' --data-urlencode é",
            "POST",
            "application/x-www-form-urlencoded",
            "a=b%20c%26&d%2F&%C3%A9",
        ),
        ("-XPUT -d x -H 'Content-Type: text/plain'", "PUT", "text/plain", "x"),
        ("-X PATCH --data-binary $'a\\r\\nb'", "PATCH", "application/x-www-form-urlencoded", "a\r\nb"),
        ("-sSLd x", "POST", "application/x-www-form-urlencoded", "x"),
    ] {
        let captured = good(&format!("curl {options} http://h/x"));
        assert_eq!(captured.head.method().as_str(), method, "{options}");
        assert_eq!(captured.head.headers().first("content-type"), Some(content_type.as_bytes()), "{options}");
        assert_eq!(String::from_utf8_lossy(&captured.body), body, "{options}");
    }
    assert_eq!(good("curl -d x -H 'Content-Type:' h").head.headers().first("content-type"), None);
    let query = good("curl -G -d a=1 --data-urlencode 'b=c d' 'h/x?z=0'");
    assert_eq!((query.head.method(), query.head.query()), (Method::Get, Some("z=0&a=1&b=c%20d")));
    assert_eq!(good("curl -I h").head.method(), Method::Head);
}

#[test]
fn files_are_read_as_curl_reads_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("body");
    std::fs::write(&path, "{\r\n}\n").unwrap();
    let path = path.to_str().unwrap();
    for (options, body) in [
        (format!("-d @{path}"), "{}"),
        (format!("--data-binary @{path}"), "{\r\n}\n"),
        (format!("--json @{path}"), "{\r\n}\n"),
        (format!("--data-urlencode a@{path}"), "a=%7B%0D%0A%7D%0A"),
    ] {
        assert_eq!(String::from_utf8_lossy(&good(&format!("curl {options} h")).body), body, "{options}");
    }
    let upload = good(&format!("curl -T {path} http://h/x"));
    assert_eq!((upload.head.method(), upload.head.headers().len()), (Method::Put, 0));
    assert!(refused("curl -d @/nonexistent h").contains("line 1, column 9: /nonexistent: "));
    assert!(refused("curl -d @- h").contains("standard input"));
}

#[test]
fn users_and_hosts_are_headers() {
    assert_eq!(fields(&good("curl -u me:secret h")), ["Authorization: Basic bWU6c2VjcmV0"]);
    assert_eq!(fields(&good("curl https://me:secret@h/")), ["Authorization: Basic bWU6c2VjcmV0"]);
    assert_eq!(fields(&good("curl --oauth2-bearer t h")), ["Authorization: Bearer t"]);
    let captured = good("curl -H 'Host: b.example' -A agent -e from -H ':authority: x' --http2 http://a.example");
    assert_eq!(
        (captured.head.host(), captured.head.path(), captured.head.version()),
        ("b.example", "/", Version::Http2)
    );
    assert_eq!(fields(&captured), ["User-Agent: agent", "Referer: from"]);
}

#[test]
fn what_does_not_change_the_request_is_passed_over() {
    let captured = good(
        "curl -sS -o /dev/null -w '%{http_code}' --max-time 3 --resolve h:443:127.0.0.1 -k -X POST https://h/x | jq .",
    );
    assert_eq!((captured.head.method(), captured.head.headers().len(), captured.body.len()), (Method::Post, 0, 0));
}

#[test]
fn what_cannot_be_read_is_named_and_not_quoted() {
    for (command, why) in [
        ("curl -d x", "no URL"),
        ("curl https://h/ -H", "line 1, column 17: this option lacks its value"),
        ("curl https://h/ \\\n -H canary", "line 2, column 5: this is no header"),
        ("curl https://h/ canary", "column 17: there are two URLs; the first is at line 1, column 6"),
        ("curl --frobnicate h", "the option --frobnicate is not known"),
        ("curl -sß h", "the option -ß is not known"),
        ("curl -F a=canary h", "boundary"),
        ("curl -b canary h", "cookies"),
        ("curl ftp://canary/", "http://"),
        ("curl 'https://h/a canary'", "percent-encode"),
        ("curl https:///canary", "no host"),
        ("curl -H @canary h", "from a file"),
        ("curl -H $'A: canary\\nB: c' h", "control character"),
        ("curl -H 'a b: canary' h", "no header name"),
        ("curl $URL", "a value that is not known"),
    ] {
        let said = refused(command);
        assert!(said.contains(why) && !said.contains("canary"), "{command}: {said}");
    }
}
