use std::os::unix::fs::PermissionsExt;

use super::*;

/// The least that a file must say; `none` so that no key file is looked for.
const LEAST: &str = r#"
[cluster]
name = "demo"
seal = "none"
[[cluster.nodes]]
id = 1
address = "10.0.0.1:5405"
[[cluster.nodes]]
id = 2
address = "10.0.0.2:5405"
[local]
node = 1
"#;

/// The least file with one piece of text replaced.
fn least_but(old: &str, new: &str) -> String {
    assert!(LEAST.contains(old), "{old} is in the file");
    LEAST.replacen(old, new, 1)
}

/// Asserts that a text has exactly this mistake.
#[track_caller]
fn assert_mistake(text: &str, mistake: &str) {
    let mistakes = Config::parse(text).expect_err("a mistake");
    let lines: Vec<_> = mistakes.iter().map(ToString::to_string).collect();
    assert_eq!(lines, [mistake]);
}

#[test]
fn the_least_file_takes_every_default() {
    let config = Config::parse(LEAST).expect("valid");
    assert_eq!(config.cluster.name, "demo");
    assert_eq!(config.cluster.detection, Duration::from_millis(500));
    assert_eq!(config.cluster.links[0].transport, Transport::Unicast);
    assert_eq!(config.address(), "10.0.0.1:5405".parse().expect("an address"));
    assert_eq!(config.local.socket, Path::new("/run/evs/evsd.sock"));
    assert_eq!(config.local.limits.client_event_bytes_max, 16 << 20);
}

/// The installed example says the truth about every key and its default.
#[test]
fn the_example_file_shows_every_key_with_its_default() {
    // Without a key file of its own the test can only check the rest.
    let example = include_str!("../evsd.toml").replace("# seal = \"aead\"", "seal = \"none\"");
    let plain = Config::parse(&example).expect("valid");
    let uncommented: String =
        example.lines().map(|line| uncomment(line).to_owned() + "\n").collect();
    let explicit = Config::parse(&uncommented).expect("every default is valid");
    assert_eq!(format!("{plain:?}"), format!("{explicit:?}"));

    for (section, key) in Config::keys() {
        let line = format!("{key} = ");
        let there = example.lines().any(|l| uncomment(l).starts_with(&line))
            || example.contains(&format!("# {key} has no default"));
        assert!(there, "the example does not mention {section}.{key}");
    }
}

/// `# key = value` without its mark; every other line as it is.
fn uncomment(line: &str) -> &str {
    let Some(rest) = line.strip_prefix("# ") else { return line };
    let key = rest.split(" = ").next().unwrap_or_default();
    let is_key = rest.contains(" = ") && key.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    if is_key { rest } else { line }
}

#[test]
fn all_mistakes_are_told_at_once_in_the_order_of_their_lines() {
    let text = least_but("id = 1", "id = 0").replace("name = \"demo\"", "name = \"\"");
    let error = Config::parse(&text).expect_err("two mistakes");
    let lines: Vec<_> = error.iter().map(|mistake| mistake.line).collect();
    assert_eq!(lines, [Some(3), Some(6)]);
}

#[test]
fn each_half_of_a_node_is_checked_whatever_the_other_is() {
    let text = least_but("id = 2", "id = 1").replace("10.0.0.2:5405", "10.0.0.2");
    let mistakes = Config::parse(&text).expect_err("two mistakes");
    let lines: Vec<_> = mistakes.iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "9: cluster.nodes[2].id: node 1 is listed twice",
            "10: cluster.nodes[2].address: the port is missing, like \"10.0.0.2:5405\"",
        ]
    );
    let text = least_but("id = 2", "id = 0").replace("10.0.0.2:5405", "10.0.0.1:5405");
    let mistakes = Config::parse(&text).expect_err("two mistakes");
    let lines: Vec<_> = mistakes.iter().map(|mistake| mistake.line).collect();
    assert_eq!(lines, [Some(9), Some(10)]);
}

#[test]
fn a_mistake_is_shown_with_file_line_and_key() {
    let dir = std::env::temp_dir().join(format!("evsd-config-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a directory");
    let file = dir.join("evsd.toml");
    std::fs::write(&file, least_but("id = 2", "id = 1")).expect("written");
    let error = Config::load(&file).expect_err("a duplicate");
    let shown = format!("{}:9: cluster.nodes[2].id: node 1 is listed twice", file.display());
    assert_eq!(error.to_string(), shown);
    std::fs::remove_file(&file).expect("removed");
    let error = Config::load(&file).expect_err("no file").to_string();
    assert!(error.starts_with(&format!("{}: cannot be read: No such file", file.display())));
    std::fs::remove_dir(&dir).expect("removed");
}

#[test]
fn a_syntax_error_names_its_line() {
    let error = Config::parse("[cluster]\nname = demo\n").expect_err("no quotes");
    assert_eq!(error[0].line, Some(2));
}

#[test]
fn an_unknown_key_is_refused_with_the_nearest_known_one() {
    let text = least_but("[local]", "[local]\nsockte = \"/x\"");
    assert_mistake(&text, "12: local.sockte: unknown key; did you mean `socket`?");
    let text = least_but("id = 1", "id = 1\naddres = \"x\"");
    assert_mistake(&text, "7: cluster.nodes.addres: unknown key; did you mean `address`?");
}

#[test]
fn a_key_in_the_wrong_section_is_told_the_right_one() {
    let text = least_but("[local]", "[local]\nmtu_bytes = 1500");
    assert_mistake(&text, "12: local.mtu_bytes: unknown key here; it belongs in [cluster]");
    assert_mistake(&format!("[frobnicate]\n{LEAST}"), "1: frobnicate: unknown key");
}

#[test]
fn a_missing_section_or_key_is_named() {
    let mistakes = Config::parse("").expect_err("empty");
    let lines: Vec<_> = mistakes.iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        ["cluster: the section [cluster] is missing", "local: the section [local] is missing"]
    );
    assert_mistake(
        &least_but("name = \"demo\"\n", ""),
        "2: cluster.name: is missing; it is required, like name = \"demo\"",
    );
    assert_mistake(
        &least_but("node = 1", ""),
        "11: local.node: is missing; it is required, like node = 1",
    );
}

#[test]
fn a_value_of_another_kind_is_refused() {
    assert_mistake(
        &least_but("node = 1", "node = \"1\""),
        "12: local.node: is a text, not a whole number",
    );
    assert_mistake(
        &least_but("\"demo\"", "7"),
        "3: cluster.name: is a whole number, not a text in \"quotes\"",
    );
    let (cluster, _) = LEAST.split_once("[local]").expect("two halves");
    assert_mistake(
        &format!("local = 3{cluster}"),
        "1: local: is a whole number, not a section [local]",
    );
}

#[test]
fn a_node_id_of_0_is_refused() {
    assert_mistake(
        &least_but("id = 2", "id = 0"),
        "9: cluster.nodes[2].id: is 0, which names nobody; node ids start at 1",
    );
    assert_mistake(
        &least_but("node = 1", "node = 0"),
        "12: local.node: is 0, which names nobody; node ids start at 1",
    );
}

#[test]
fn an_own_id_outside_the_list_is_refused() {
    assert_mistake(
        &least_but("node = 1", "node = 3"),
        "12: local.node: node 3 is not in [[cluster.nodes]]: 1, 2",
    );
}

#[test]
fn a_bad_address_is_told_what_is_wrong_with_it() {
    let cases = [
        ("10.0.0.2", "the port is missing, like \"10.0.0.2:5405\""),
        ("fd00::2", "the port is missing, like \"[fd00::2]:5405\""),
        ("[fd00::2]", "the port is missing, like \"[fd00::2]:5405\""),
        ("10.0.0.2:0", "the port is 0, like \"10.0.0.1:5405\" would be right"),
        ("10.0.0.1:5405", "10.0.0.1:5405 is node 1's address already"),
        ("host2:5405", "\"host2:5405\" is no IP address with a port, like \"10.0.0.1:5405\""),
        (
            "10.0.0.300:5405",
            "\"10.0.0.300:5405\" is no IP address with a port, like \"10.0.0.1:5405\"",
        ),
        (
            "10.0.0.2:70000",
            "\"10.0.0.2:70000\" is no IP address with a port, like \"10.0.0.1:5405\"",
        ),
        (
            "0.0.0.0:5405",
            "0.0.0.0:5405 is no host's address; say the one that the other nodes can reach",
        ),
        (
            "239.1.1.1:5405",
            "239.1.1.1:5405 is a multicast address; a node has an address of its own",
        ),
        (
            "[fd00::2]:5405",
            "[fd00::2]:5405 is IPv6, but node 1 has 10.0.0.1:5405: \
             all addresses of a link must be of one family, IPv4 or IPv6",
        ),
    ];
    for (address, what) in cases {
        let mistake = format!("10: cluster.nodes[2].address: {what}");
        assert_mistake(&least_but("10.0.0.2:5405", address), &mistake);
    }
}

#[test]
fn more_nodes_than_a_configuration_can_hold_are_refused() {
    let node = |n: u32| format!("[[cluster.nodes]]\nid = {n}\naddress = \"10.0.1.{n}:5405\"\n");
    let more = |count: u32| {
        let nodes: String = (3..=count).map(node).collect();
        least_but("[local]\n", &format!("{nodes}[local]\n"))
    };
    assert_eq!(Config::parse(&more(128)).expect("at the limit").cluster.nodes().len(), 128);
    assert_mistake(
        &more(129),
        "390: cluster.nodes[129].id: is one node too many, the limit (members_max) is 128",
    );
}

#[test]
fn multicast_needs_a_multicast_address_of_the_same_family() {
    let multicast = |address: &str| {
        let keys = format!("transport = \"multicast\"\nmulticast_address = {address:?}");
        least_but("seal = \"none\"", &format!("seal = \"none\"\n{keys}"))
    };
    let config = Config::parse(&multicast("239.192.7.1:5405")).expect("valid");
    let group = "239.192.7.1:5405".parse().expect("an address");
    assert_eq!(config.cluster.links[0].transport, Transport::Multicast { group, hops: 1 });
    let wrong = |address, what: &str| {
        assert_mistake(&multicast(address), &format!("6: cluster.multicast_address: {what}"));
    };
    wrong("10.0.0.9:5405", "10.0.0.9:5405 is no multicast address");
    wrong("239.192.7.1", "the port is missing, like \"239.192.7.1:5405\"");
    wrong("[ff15::1]:5405", "[ff15::1]:5405 is IPv6, but the nodes have 10.0.0.1:5405");
    assert_mistake(
        &least_but("seal = \"none\"", "seal = \"none\"\ntransport = \"multicast\""),
        "5: cluster.transport: needs the key `multicast_address`, like \"239.192.7.1:5405\"",
    );
    let unicast =
        least_but("seal = \"none\"", "seal = \"none\"\nmulticast_address = \"239.1.1.1:5\"");
    assert_mistake(
        &unicast,
        "5: cluster.multicast_address: is of use only with transport = \"multicast\"",
    );
}

#[test]
fn a_word_that_is_no_choice_is_refused_with_the_choices() {
    assert_mistake(
        &least_but("\"none\"", "\"non\""),
        "4: cluster.seal: is \"non\", not \"aead\" or \"none\"",
    );
    assert_mistake(
        &least_but("[local]", "[local]\nlog_format = \"xml\""),
        "12: local.log_format: is \"xml\", not \"auto\" or \"journal\" or \"text\" or \"json\"",
    );
}

#[test]
fn a_flag_is_true_or_false_and_nothing_else() {
    let local = |line: &str| least_but("[local]", &format!("[local]\n{line}"));
    let config = |line: &str| Config::parse(&local(line)).expect("valid").local;
    assert_eq!(config("lock_memory = true").lock_memory, Some(true));
    assert_eq!(config("lock_memory = false").lock_memory, Some(false));
    assert_eq!(config("").lock_memory, None);
    assert_mistake(
        &local("lock_memory = \"yes\""),
        "12: local.lock_memory: is a text, not true or false",
    );
    assert_eq!(config("realtime_priority = 99").realtime_priority, Some(99));
    assert_mistake(
        &local("realtime_priority = 100"),
        "12: local.realtime_priority: is 100, out of its range 1 to 99",
    );
}

#[test]
fn a_limit_is_taken_at_its_ends_and_refused_beyond() {
    let local = |limit: &str| format!("{LEAST}[local.limits]\n{limit}\n");
    Config::parse(&local("clients_max = 1")).expect("the least");
    Config::parse(&local("clients_max = 16384")).expect("the most");
    let key = "14: local.limits.clients_max";
    let range = "out of its range 1 to 16384";
    assert_mistake(&local("clients_max = 0"), &format!("{key}: is 0, {range}"));
    assert_mistake(&local("clients_max = -1"), &format!("{key}: is -1, {range}"));
    assert_mistake(&local("clients_max = 16385"), &format!("{key}: is 16385, {range}"));
    let huge = "99999999999999999999";
    let shown = format!("{key}: is {huge}, {range}");
    assert_mistake(&local(&format!("clients_max = {huge}")), &shown);
    assert_mistake(
        &least_but("seal", "detection_ms = 10\nseal"),
        "4: cluster.detection_ms: is 10, out of its range 50 to 60000",
    );
    assert_mistake(
        &least_but("seal", "window_bytes_max = 65535\nseal"),
        "4: cluster.window_bytes_max: is 65535, out of its range 65536 to 67108864",
    );
}

#[test]
fn paths_are_absolute_and_a_socket_path_fits() {
    assert_mistake(
        &least_but("[local]", "[local]\nsocket = \"evsd.sock\""),
        "12: local.socket: is no absolute path; it must start with /",
    );
    let path = |bytes: usize| format!("[local]\nsocket = \"/{}\"", "x".repeat(bytes - 1));
    Config::parse(&least_but("[local]", &path(107))).expect("at the limit");
    assert_mistake(
        &least_but("[local]", &path(108)),
        "12: local.socket: has 108 bytes, a socket's path can have 107",
    );
}

#[test]
fn a_log_filter_that_is_none_is_refused() {
    let error = Config::parse(&least_but("[local]", "[local]\nlog = \"a=b=c\"")).expect_err("log");
    assert!(error[0].to_string().starts_with("12: local.log: is no level"), "{}", error[0]);
    assert_mistake(
        &least_but("[local]", "[local]\nlog = \"wran\""),
        "12: local.log: \"wran\" is no level (error, warn, info, debug, trace); \
         did you mean `warn`?",
    );
}

#[test]
fn an_address_for_metrics_without_a_port_is_told_one_for_metrics() {
    assert_mistake(
        &least_but("[local]", "[local]\nmetrics = \"10.77.0.1\""),
        "12: local.metrics: the port is missing, like \"10.77.0.1:9580\"",
    );
}

#[test]
fn ids_of_users_and_groups_are_numbers_in_a_bounded_list() {
    let config = Config::parse(&least_but("[local]", "[local]\nallow_uids = [1000, 0]"));
    assert_eq!(config.expect("valid").local.allow_uids, [1000, 0]);
    assert_mistake(
        &least_but("[local]", "[local]\nallow_uids = [\n1,\n\"joe\"]"),
        "14: local.allow_uids: holds \"joe\", out of the range 0 to 4294967295",
    );
    let many = format!("[local]\nallow_gids = {:?}", vec![7; 257]);
    assert_mistake(
        &least_but("[local]", &many),
        "12: local.allow_gids: has 257 entries, the limit is 256",
    );
}

#[test]
fn a_key_file_that_is_missing_or_open_to_others_is_refused() {
    let dir = std::env::temp_dir().join(format!("evsd-key-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a directory");
    let file = dir.join("key");
    let text = least_but("\"none\"", "\"aead\"")
        .replace("[local]", &format!("[local]\nkey_file = {:?}", file.display().to_string()));
    let mistake = |text: &str| {
        let mistakes = Config::parse(text).expect_err("a mistake");
        assert_eq!(mistakes.len(), 1);
        assert_eq!((mistakes[0].line, &*mistakes[0].key), (Some(12), "local.key_file"));
        mistakes[0].what.clone()
    };
    assert!(mistake(&text).contains("evs keygen"), "{}", mistake(&text));
    std::fs::write(&file, &*ClusterKey::generate().to_text()).expect("written");
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o644)).expect("opened");
    assert!(mistake(&text).contains("644"), "{}", mistake(&text));
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).expect("closed");
    Config::parse(&text).expect("valid");
    std::fs::write(&file, "no key").expect("written");
    mistake(&text);
    std::fs::remove_dir_all(&dir).expect("removed");
}

/// The least file with two addresses for each node, and more lines in `[cluster]`.
fn two_links(second: &str, more: &str) -> String {
    LEAST
        .replace(
            "address = \"10.0.0.1:5405\"",
            "addresses = [\"10.0.0.1:5405\", \"10.1.0.1:5405\"]",
        )
        .replace("address = \"10.0.0.2:5405\"", &format!("addresses = {second}"))
        .replace("[local]", &format!("{more}\n[local]"))
}

const SECOND: &str = "[\"10.0.0.2:5405\", \"10.1.0.2:5405\"]";

#[test]
fn nodes_may_have_an_address_on_each_of_several_links() {
    let links = "[[cluster.links]]\npriority = 7\nmtu_bytes = 9000\n\
                 [[cluster.links]]\ntransport = \"multicast\"\nmulticast_address = \"239.1.2.3:5\"";
    let config = Config::parse(&two_links(SECOND, links)).expect("valid");
    let [first, second] = &config.cluster.links[..] else { panic!("two links") };
    assert_eq!((first.priority, first.mtu_bytes), (7, 9_000));
    assert_eq!((second.priority, second.mtu_bytes), (0, 1_500));
    assert_eq!(first.transport, Transport::Unicast);
    assert!(matches!(second.transport, Transport::Multicast { hops: 1, .. }));
    let node = NodeId::new(2).expect("not zero");
    assert_eq!(second.addresses[&node], "10.1.0.2:5405".parse().expect("an address"));
    let plain = Config::parse(&two_links(SECOND, "")).expect("sections may be left out");
    assert_eq!(plain.cluster.links.len(), 2);
}

#[test]
fn every_mistake_about_links_has_its_place() {
    let one = "[\"10.0.0.2:5405\"]";
    assert_mistake(
        &two_links(one, ""),
        "9: cluster.nodes[2].id: node 2 has 1 addresses, but the first node has 2: \
         every node needs one for each link",
    );
    let mixed = "[\"10.0.0.2:5405\", \"[fd00::2]:5405\"]";
    assert_mistake(
        &two_links(mixed, ""),
        "10: cluster.nodes[2].addresses: [fd00::2]:5405 is IPv6, but node 1 has 10.1.0.1:5405: \
         all addresses of a link must be of one family, IPv4 or IPv6",
    );
    let twice = "[\"10.0.0.2:5405\", \"10.0.0.1:5405\"]";
    assert_mistake(
        &two_links(twice, ""),
        "10: cluster.nodes[2].addresses: 10.0.0.1:5405 is node 1's address already",
    );
    assert_mistake(
        &two_links("[]", ""),
        "10: cluster.nodes[2].addresses: is no list of 1 to 8 texts in \"quotes\"",
    );
    let links = "[[cluster.links]]\n".repeat(3);
    assert_mistake(
        &two_links(SECOND, &links),
        "13: cluster.links[3]: is one link too many: the nodes have 2 addresses each",
    );
    let text = two_links(SECOND, "[[cluster.links]]")
        .replace("[cluster]", "[cluster]\ntransport = \"unicast\"");
    assert_mistake(
        &text,
        "3: cluster.transport: has its place in [[cluster.links]], where there is one",
    );
    let both = LEAST.replace("id = 2", "id = 2\naddresses = [\"10.0.0.2:5405\"]");
    assert_mistake(
        &both,
        "11: cluster.nodes[2].address: stands beside `addresses`: one of the two says it all",
    );
}

#[test]
fn a_file_that_cannot_be_read_is_told_with_what_helps() {
    let error = Config::load(Path::new("/no/such/evsd.toml")).expect_err("none").to_string();
    assert!(error.contains("/etc/evs/evsd.toml.example"), "{error}");
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), b"# one\n# caf\xe9\n").expect("written");
    let error = Config::load(file.path()).expect_err("Latin-1").to_string();
    assert!(error.ends_with(": cannot be read: line 2 is not UTF-8"), "{error}");
}

#[test]
fn an_endless_file_is_read_up_to_the_limit_and_refused() {
    let error = Config::load(Path::new("/dev/zero")).expect_err("endless");
    assert!(error.to_string().contains("config_bytes_max"), "{error}");
}

#[test]
fn a_file_may_be_as_long_as_the_limit() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    for (bytes, fits) in [(CONFIG_BYTES_MAX, true), (CONFIG_BYTES_MAX + 1, false)] {
        std::fs::write(file.path(), "#".repeat(bytes)).expect("written");
        let read = read(file.path());
        assert_eq!(read.is_ok(), fits, "{bytes}");
        assert!(read.map_err(|error| error.to_string().contains("config_bytes_max")) != Err(false));
    }
}
