//! Files of Corosync as they are met, and what becomes of them.

use super::*;
use crate::Config;

fn import_for(text: &str, node: Option<u32>) -> Import {
    let circumstances = Circumstances {
        node,
        resolve: &|name| (name == "alpha").then(|| "10.0.0.1".parse().expect("an address")),
        is_here: &|ip| ip.to_string() == "10.0.0.2",
    };
    import(text, &circumstances).expect("a file of Corosync")
}

fn checked(import: &Import) -> Config {
    let key = |_: &std::path::Path| Ok(vec![evs_net::ClusterKey::from_bytes(&[7; 32])]);
    Config::parse_with(&import.text, key).unwrap_or_else(|mistakes| {
        let lines: Vec<_> = mistakes.iter().map(ToString::to_string).collect();
        panic!("{}\n{}", lines.join("\n"), import.text)
    })
}

/// What is told about a setting.
fn told<'i>(import: &'i Import, setting: &str) -> &'i str {
    let found = import.notes.iter().find(|note| note.setting == setting);
    &found.unwrap_or_else(|| panic!("{setting} is not among {:?}", import.notes)).what
}

fn notes(import: &Import) -> Vec<&str> {
    import.notes.iter().map(|note| &note.setting[..]).collect()
}

/// Corosync 3 with two links, as its own manual shows it.
const KNET: &str = "\
totem {
    version: 2
    cluster_name: prod
    crypto_cipher: aes256
    crypto_hash: sha256
    token: 3000
    link_mode: passive
    interface {
        linknumber: 0
        knet_link_priority: 5
    }
    interface {
        linknumber: 1
        knet_transport: sctp
    }
}
# who there is
nodelist {
    node {
        ring0_addr: alpha
        ring1_addr: fd00::1
        name: alpha
        nodeid: 10
    }
    node {
        ring0_addr: 10.0.0.2
        ring1_addr: fd00::2
        nodeid: 20
    }
}
quorum {
    provider: corosync_votequorum
    two_node: 1
}
logging {
    to_syslog: yes
    debug: on
}
uidgid {
    uid: 1000
    gid: haclient
}
";

#[test]
fn nodes_links_times_and_users_are_taken_over() {
    let import = import_for(KNET, None);
    let config = checked(&import);
    assert_eq!((config.cluster.name.as_str(), import.to_fill_in), ("prod", 0));
    assert_eq!(config.cluster.detection.as_millis(), 3000);
    let addresses = |link: usize| {
        let addresses = config.cluster.links[link].addresses.iter();
        addresses.map(|(node, at)| format!("{node} {at}")).collect::<Vec<_>>()
    };
    assert_eq!(addresses(0), ["10 10.0.0.1:5405", "20 10.0.0.2:5405"]);
    assert_eq!(addresses(1), ["10 [fd00::1]:5405", "20 [fd00::2]:5405"]);
    assert_eq!(config.cluster.links[0].priority, 5);
    assert_eq!(config.local.node.get(), 20, "the one with an address of this host");
    assert_eq!((config.local.log.as_str(), &config.local.allow_uids[..]), ("debug", &[1000][..]));
    for setting in [
        "totem.crypto_cipher",
        "totem.link_mode",
        "totem.interface.knet_transport",
        "nodelist.node.name",
        "quorum.provider",
        "quorum.two_node",
        "logging.to_syslog",
        "uidgid.gid",
    ] {
        assert!(notes(&import).contains(&setting), "{setting} is not among {:?}", import.notes);
    }
    assert!(!notes(&import).contains(&"totem.version"));
}

/// The example of Corosync 1.4: nodes find each other by multicast.
const MULTICAST: &str = "\
compatibility: whitetank
totem {
    version: 2
    secauth: off
    threads: 0
    interface {
        ringnumber: 0
        bindnetaddr: 192.168.1.0
        mcastaddr: 239.255.1.1
        mcastport: 5406
        ttl: 4
    }
}
amf {
    mode: disabled
}
";

#[test]
fn nodes_that_are_nowhere_listed_are_left_to_fill_in() {
    let import = import_for(MULTICAST, Some(1));
    assert_eq!(import.to_fill_in, 2);
    assert!(told(&import, "compatibility").contains("one protocol"), "{:?}", import.notes);
    let mistakes = Config::parse(&import.text).expect_err("it is not complete");
    assert_eq!(mistakes.len(), 2, "{mistakes:?}");
    assert!(mistakes.iter().all(|mistake| mistake.what.contains("FILL IN")), "{mistakes:?}");
    let mut text = import.text.clone();
    for node in 1..=2 {
        let left = format!("FILL IN the IP address of node{node}:");
        text = text.replace(&left, &format!("10.0.0.{node}:"));
    }
    let config = checked(&Import { text, ..import });
    let crate::Transport::Multicast { group, hops } = config.cluster.links[0].transport else {
        panic!("multicast");
    };
    assert_eq!((group.to_string().as_str(), hops), ("239.255.1.1:5406", 4));
}

#[test]
fn members_of_an_interface_are_nodes_in_their_order() {
    let text = "\
totem {
    transport: udpu
    cluster_name: old
    netmtu: 9000
    interface {
        ringnumber: 0
        mcastaddr: 239.255.1.1
        member {
            memberaddr: 10.0.0.1
        }
        member {
            memberaddr: 10.0.0.2
        }
    }
}
";
    let import = import_for(text, None);
    let config = checked(&import);
    assert_eq!(config.cluster.nodes().len(), 2);
    assert_eq!(config.local.node.get(), 2);
    assert_eq!(config.cluster.links[0].mtu_bytes, 9000);
    assert_eq!(config.cluster.links[0].transport, crate::Transport::Unicast);
    assert!(notes(&import).contains(&"totem.interface.member"));
}

/// Corosync 1.4 with two rings.
const RINGS: &str = "\
totem {
    version: 2
    cluster_name: old
    rrp_mode: passive
    interface {
        ringnumber: 0
        mcastaddr: 239.255.1.1
        mcastport: 5405
        ttl: 1
    }
    interface {
        ringnumber: 1
        mcastaddr: 239.255.2.1
        mcastport: 5407
        ttl: 2
    }
}
";

#[test]
fn every_ring_becomes_a_link() {
    let import = import_for(RINGS, Some(1));
    assert_eq!(import.to_fill_in, 4, "two nodes on two links: {}", import.text);
    let mut text = import.text.clone();
    for (link, port) in [(0, 5405), (1, 5407)] {
        for node in 1..=2 {
            let left = format!("FILL IN the IP address of node{node}:{port}");
            text = text.replace(&left, &format!("10.{link}.0.{node}:{port}"));
        }
    }
    let config = checked(&Import { text, ..import });
    let transports: Vec<_> = config.cluster.links.iter().map(|link| link.transport).collect();
    let multicast = |group: &str, hops| {
        let group = group.parse().expect("an address");
        crate::Transport::Multicast { group, hops }
    };
    assert_eq!(transports, [multicast("239.255.1.1:5405", 1), multicast("239.255.2.1:5407", 2)]);
}

#[test]
fn members_of_every_interface_are_addresses_of_the_nodes() {
    let members = |ring| {
        let member = |node| format!("member {{\nmemberaddr: 10.{ring}.0.{node}\n}}\n");
        format!("interface {{\nringnumber: {ring}\n{}{}}}\n", member(1), member(2))
    };
    let text = format!("totem {{\ntransport: udpu\n{}{}}}\n", members(0), members(1));
    let config = checked(&import_for(&text, Some(1)));
    let addresses = config.cluster.links.iter().flat_map(|link| link.addresses.values());
    let addresses: Vec<_> = addresses.map(|address| address.ip().to_string()).collect();
    assert_eq!(addresses, ["10.0.0.1", "10.0.0.2", "10.1.0.1", "10.1.0.2"]);
}

#[test]
fn links_keep_their_settings_where_their_numbers_have_a_hole() {
    let text = KNET.replace("linknumber: 1", "linknumber: 3\n        knet_link_priority: 9");
    let import = import_for(&text.replace("ring1_addr", "ring3_addr"), None);
    let config = checked(&import);
    assert_eq!(config.cluster.links.len(), 2);
    assert_eq!(config.cluster.links[1].priority, 9);
    assert_eq!(told(&import, "totem.interface.linknumber"), "link 3 there is link 1 here");
}

#[test]
fn what_no_link_takes_is_told() {
    let text = KNET.replace("linknumber: 1", "linknumber: 4");
    let import = import_for(&text, None);
    assert!(told(&import, "totem.interface").contains("no node has an address on link 4"));
    let text = KNET.replace("knet_link_priority: 5", "knet_link_priority: high");
    let import = import_for(&text, None);
    assert!(told(&import, "totem.interface.knet_link_priority").contains("no number"));
    let text = KNET.replace("linknumber: 1", "linknumber: 0");
    let import = import_for(&text, None);
    assert!(told(&import, "totem.interface").contains("another one"), "{:?}", import.notes);
    let text = KNET.replace("nodeid: 10", "nodeid: 10\n        ring8_addr: 10.8.0.1");
    let import = import_for(&text, None);
    assert!(told(&import, "nodelist.node.ring8_addr").starts_with("unknown"));
    let text = KNET.replace("linknumber: 1", "member {\nmemberaddr: 10.1.0.1\n}\nlinknumber: 1");
    let import = import_for(&text, None);
    assert!(told(&import, "totem.interface.member").contains("nodelist"));
}

#[test]
fn multicast_that_is_given_up_is_told() {
    let listed = "nodelist {\nnode {\nring0_addr: 10.0.0.2\nnodeid: 1\n}\n}\n";
    let one = RINGS.split_once("    interface {\n        ringnumber: 1").expect("two").0;
    let text = format!("{one}}}\n{listed}");
    let import = import_for(&text, None);
    let config = checked(&import);
    assert_eq!(config.cluster.links[0].transport, crate::Transport::Unicast);
    assert!(told(&import, "totem.interface.mcastaddr").contains("239.255.1.1"));
    assert!(told(&import, "totem.interface.ttl").contains("not used"));
    // Corosync makes an address of its cluster's name.
    let text = text.replace("        mcastaddr: 239.255.1.1\n", "").replace("        ttl: 1\n", "");
    let import = import_for(&text.replace("version: 2", "transport: udp"), None);
    assert!(told(&import, "totem.transport").contains("no multicast address"));
}

#[test]
fn the_time_that_corosync_takes_by_default_is_written() {
    for (text, ms) in [(KNET.replace("    token: 3000\n", ""), 3000), (RINGS.to_owned(), 1000)] {
        let import = import_for(&text, Some(20));
        assert!(import.text.contains(&format!("detection_ms = {ms}\n")), "{}", import.text);
        assert!(told(&import, "totem.token").contains("default"), "{:?}", import.notes);
    }
}

#[test]
fn sections_of_one_name_are_read_as_one() {
    let text = KNET.replace("    token: 3000\n", "") + "totem {\ntoken: 1234\n}\n";
    assert_eq!(checked(&import_for(&text, None)).cluster.detection.as_millis(), 1234);
}

#[test]
fn a_node_that_is_in_no_list_is_told() {
    let import = import_for(KNET, Some(9));
    assert!(told(&import, "local.node").contains("no node 9"), "{:?}", import.notes);
    let import = import_for(&KNET.replace("token: 3000", "nodeid: 7"), None);
    assert!(told(&import, "local.node").contains("no node 7"), "{:?}", import.notes);
}

#[test]
fn a_value_out_of_range_is_told_and_brought_into_it() {
    let text = KNET.replace("token: 3000", "token: 100000\nnetmtu: many");
    let import = import_for(&text, None);
    assert_eq!(checked(&import).cluster.detection.as_millis(), 60_000);
    let about = |setting| import.notes.iter().filter(move |note| note.setting == setting);
    assert!(about("totem.token").any(|note| note.what.contains("out of the range")));
    assert!(about("totem.netmtu").any(|note| note.what.contains("no number")));
}

#[test]
fn a_setting_that_nobody_documents_is_named_with_its_line() {
    let import = import_for(&KNET.replace("token: 3000", "tokem: 3000"), None);
    let note = import.notes.iter().find(|note| note.setting == "totem.tokem").expect("told");
    assert_eq!(note.line, 6);
    assert!(note.what.starts_with("unknown"), "{note:?}");
    let import = import_for(&KNET.replace("knet_transport", "knet_transprot"), None);
    assert!(told(&import, "totem.interface.knet_transprot").starts_with("unknown"));
}

#[test]
fn what_is_no_such_file_is_named_with_its_line() {
    let nobody = Circumstances { node: None, resolve: &|_| None, is_here: &|_| false };
    let error = |text: &str| import(text, &nobody).expect_err("no such file").to_string();
    assert_eq!(error("totem {\n"), "1: a section that is not closed by a }");
    assert_eq!(error("totem {\n}\n}\n"), "3: a } without a section that it closes");
    assert!(error("totem {\nversion 2\n}\n").starts_with("2: neither"));
    assert_eq!(error("# nothing\n"), "1: no section `totem`: no file of Corosync");
    assert!(error(&"a {\n".repeat(100)).contains("nested too deep"));
    assert!(error(&" ".repeat(TEXT_BYTES_MAX + 1)).contains("longer than 1 MiB"));
}

/// Whatever a text holds, what comes out is TOML, and says the same.
#[test]
fn texts_are_taken_over_as_they_are() {
    for name in ["a \"b\" \\ c", "caf\u{301}e", "\u{200b}"] {
        let text = KNET.replace("cluster_name: prod", &format!("cluster_name: {name}"));
        let import = import_for(&text, None);
        assert_eq!(checked(&import).cluster.name, name);
    }
    let odd = MULTICAST.replace("ttl: 4", "ttl: 1 # \"x").replace("239.255.1.1", "a\"b");
    let mistakes = Config::parse(&import_for(&odd, Some(1)).text).expect_err("it is odd");
    assert!(mistakes.iter().all(|mistake| !mistake.key.is_empty()), "it is TOML: {mistakes:?}");
}

#[test]
fn a_multicast_address_of_ipv6_has_brackets() {
    let text = MULTICAST.replace("239.255.1.1", "ff05::1");
    let text = import_for(&text, Some(1)).text;
    assert!(text.contains("multicast_address = \"[ff05::1]:5406\"\n"), "{text}");
}

/// Every key of the manual of Corosync 3.1 is either taken over or told about.
#[test]
fn every_documented_setting_has_its_remark() {
    for (section, keys) in [
        ("", "compatibility"),
        ("quorum.device", "model votes timeout sync_timeout"),
        ("quorum.device.net", "tls host port algorithm tie_breaker force_ip_version"),
        ("quorum.device.heuristics", "mode interval sync_timeout timeout exec_ping"),
        (
            "totem",
            "crypto_model crypto_hash crypto_cipher secauth keyfile key link_mode ip_version \
             token_warning token_coefficient token_retransmit knet_compression_model hold join \
             knet_compression_threshold knet_compression_level send_join consensus merge downcheck \
             token_retransmits_before_loss_const fail_recv_const seqno_unchanged_const \
             heartbeat_failures_allowed max_network_delay window_size max_messages knet_mtu \
             miss_count_const knet_pmtud_interval block_unlisted_ips config_version \
             cancel_token_hold_on_retransmit clear_node_high_bit",
        ),
        (
            "totem.interface",
            "knet_ping_interval knet_ping_timeout knet_ping_precision knet_pong_count bindnetaddr",
        ),
        ("logging", "timestamp fileline function_name blackbox to_stderr to_logfile logfile"),
        ("logging.logger_subsys", "subsys debug"),
        ("quorum", "provider expected_votes two_node wait_for_all"),
        ("nodelist.node", "name quorum_votes"),
        ("system", "qb_ipc_type sched_rr priority move_to_root_cgroup state_dir"),
        ("nozzle", "name ipaddr ipprefix macaddr"),
    ] {
        for key in keys.split_ascii_whitespace() {
            let remark = remarks::remark(section, key).expect("there is something to tell");
            assert!(!remark.starts_with("unknown"), "{section}.{key}");
        }
    }
}
