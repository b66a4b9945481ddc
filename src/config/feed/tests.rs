//! What is read of each format, and what is refused.

use super::*;

fn part(change: impl FnOnce(&mut Part)) -> Part {
    let mut part = Part::default();
    change(&mut part);
    part
}

fn texts(found: &Published) -> Vec<String> {
    found.networks.iter().map(ToString::to_string).collect()
}

fn of(list: &[&str]) -> Vec<String> {
    list.iter().map(|text| (*text).to_owned()).collect()
}

const AWS: &[u8] = br#"{"syncToken":"1764277992","createDate":"2025-11-27-21-13-12","prefixes":[
    {"ip_prefix":"192.0.2.0/24","region":"eu-central-1","service":"AMAZON","network_border_group":"x"},
    {"ip_prefix":"198.51.100.0/24","region":"eu-central-1","service":"S3","network_border_group":"x"},
    {"ip_prefix":"203.0.113.0/24","region":"us-east-1","service":"AMAZON","network_border_group":"x"}],
    "ipv6_prefixes":[{"ipv6_prefix":"2001:db8::/40","region":"eu-central-1","service":"AMAZON"}]}"#;

#[test]
fn github_has_members() {
    let bytes =
        br#"{"verifiable_password_authentication":false,"ssh_keys":["a"],"hooks":["192.30.252.0/22","2a0a:a440::/29"],
        "web":["198.51.100.0/24"],"domains":{"a":["b"]}}"#;
    let found = read(bytes, Format::Github, &part(|part| part.member = "hooks".into()), false).unwrap();
    assert_eq!((texts(&found), found.date), (of(&["192.30.252.0/22", "2a0a:a440::/29"]), None));
    let other = read(bytes, Format::Github, &part(|part| part.member = "hoks".into()), false).unwrap_err();
    assert_eq!(other.to_string(), "is not in the format: it has no member \"hoks\"");
    let twice = br#"{"hooks":["192.0.2.1"],"hooks":["192.0.2.2"]}"#;
    let twice = read(twice, Format::Github, &part(|part| part.member = "hooks".into()), false);
    assert!(matches!(twice, Err(FeedError::Unreadable(_))), "{twice:?}");
    let more =
        read(b"{\"hooks\":[\"192.0.2.1\"]} x", Format::Github, &part(|part| part.member = "hooks".into()), false);
    assert!(matches!(more, Err(FeedError::Unreadable(_))), "{more:?}");
}

#[test]
fn aws_has_services_and_regions() {
    let wanted = part(|part| {
        part.services = of(&["amazon"]);
        part.regions = of(&["eu-central-1"]);
    });
    let found = read(AWS, Format::Aws, &wanted, false).unwrap();
    assert_eq!(texts(&found), ["192.0.2.0/24", "2001:db8::/40"]);
    assert_eq!(found.date, Some(1_764_277_992), "2025-11-27T21:13:12Z");
    assert_eq!(read(AWS, Format::Aws, &Part::default(), false).unwrap().networks.len(), 4);
    let none = read(AWS, Format::Aws, &part(|part| part.services = of(&["EC3"])), false);
    assert_eq!(none, Err(FeedError::Empty));
}

#[test]
fn google_has_prefixes_of_both_families() {
    let bytes = br#"{"syncToken":"1764277992000","creationTime":"2025-11-27T21:13:12.34567","prefixes":[
        {"ipv4Prefix":"192.0.2.0/24","service":"Google Cloud","scope":"europe-west1"},{"ipv6Prefix":"2001:db8::/40"}]}"#;
    let found = read(bytes, Format::Google, &Part::default(), false).unwrap();
    assert_eq!((texts(&found), found.date), (of(&["192.0.2.0/24", "2001:db8::/40"]), Some(1_764_277_992)));
    let found = read(bytes, Format::Google, &part(|part| part.regions = of(&["europe-west1"])), false).unwrap();
    assert_eq!(texts(&found), ["192.0.2.0/24"]);
}

#[test]
fn atlassian_has_products_and_directions() {
    let bytes = br#"{"creationDate":"2025-11-27T21:13:12.0","syncToken":1,"items":[
        {"network":"192.0.2.0","mask_len":24,"cidr":"192.0.2.0/24","region":["global"],"product":["jira","bitbucket"],"direction":["egress"]},
        {"network":"198.51.100.0","mask_len":24,"cidr":"198.51.100.0/24","region":["global"],"product":["bitbucket"],"direction":["ingress"]}]}"#;
    let wanted = part(|part| {
        part.products = of(&["bitbucket"]);
        part.directions = of(&["egress"]);
    });
    let found = read(bytes, Format::Atlassian, &wanted, false).unwrap();
    assert_eq!((texts(&found), found.date), (of(&["192.0.2.0/24"]), Some(1_764_277_992)));
}

#[test]
fn text_has_a_network_a_line() {
    let found = read(b"# ours\n192.0.2.1 # one\n\n2001:db8::/32\r\n", Format::Text, &Part::default(), false).unwrap();
    assert_eq!(texts(&found), ["192.0.2.1/32", "2001:db8::/32"]);
}

#[test]
fn what_is_wrong_is_refused_whole() {
    let text = |text: &str| read(text.as_bytes(), Format::Text, &Part::default(), false).unwrap_err();
    assert_eq!(text("192.0.2.0/24\n<html>\n"), FeedError::NotNetwork("<html>".into()));
    assert_eq!(text("192.0.2.1/24\n"), FeedError::NotNetwork("192.0.2.1/24".into()));
    assert_eq!(text("# nothing\n"), FeedError::Empty);
    for (wide, narrow) in
        [("0.0.0.0/7", "10.0.0.0/8"), ("2000::/15", "2001::/16"), ("::ffff:0.0.0.0/103", "::ffff:10.0.0.0/104")]
    {
        assert!(matches!(text(wide), FeedError::TooWide(_)), "{wide}");
        assert!(read(wide.as_bytes(), Format::Text, &Part::default(), true).is_ok(), "{wide}");
        assert!(read(narrow.as_bytes(), Format::Text, &Part::default(), false).is_ok(), "{narrow}");
    }
    for end in [0, 1, 20, AWS.len() - 1] {
        let cut = read(&AWS[..end], Format::Aws, &Part::default(), false);
        assert!(matches!(cut, Err(FeedError::Unreadable(_))), "{end}: {cut:?}");
    }
    let deep = format!("{{\"hooks\":{}{}}}", "[".repeat(9000), "]".repeat(9000));
    let deep = read(deep.as_bytes(), Format::Github, &part(|part| part.member = "hooks".into()), false);
    assert!(matches!(deep, Err(FeedError::Unreadable(_))), "{deep:?}");
    let many = "192.0.2.1\n".repeat(MAX_NETWORKS + 1);
    assert_eq!(text(&many), FeedError::TooMany);
}
