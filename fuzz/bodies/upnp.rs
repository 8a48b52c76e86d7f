//! Any bytes as a router's answers: of SSDP, of HTTP, and as the description in it. Whatever is taken from them leads to
//! the router's own address, to a path that can't break a line.

use std::net::Ipv4Addr;

use vpmesh::os::portmap::upnp::{Url, location, parse_answer, services};

const GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 1);

pub fn run(data: &[u8]) {
    let found = location(data, GATEWAY);
    if let Some(url) = &found {
        check(url);
    }
    let base = Url::parse("http://192.168.1.1:5000/rootDesc.xml", GATEWAY).expect("a URL at the gateway");
    let from = found.as_ref().unwrap_or(&base);
    if let Some(answer) = parse_answer(data) {
        assert!(answer.text.len() <= data.len() * 3, "a byte becomes three at most");
        look_for_services(&answer.text, from);
    }
    look_for_services(&String::from_utf8_lossy(data), from);
}

fn look_for_services(description: &str, from: &Url) {
    let found = services(description, from);
    assert!(found.len() <= 4);
    for service in &found {
        check(service.control());
    }
}

fn check(url: &Url) {
    let text = url.to_string();
    let rest = text.strip_prefix("http://192.168.1.1:").expect("at the gateway");
    assert!(rest.bytes().all(|byte| byte.is_ascii_graphic()) && rest.contains('/'), "{text:?}");
    assert_eq!(Url::parse(&text, GATEWAY).as_ref(), Some(url));
}
