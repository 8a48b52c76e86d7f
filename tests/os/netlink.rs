//! Addresses and routes.

use vpmesh::os::netlink::{Changes, Interface, Wanted};

use crate::namespace::{in_namespace, ip};

fn wanted(addresses: &[&str], routes: &[&str]) -> Wanted {
    let networks = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
    Wanted { up: true, mtu: 1400, addresses: networks(addresses), routes: networks(routes) }
}

/// A device to practise on, and netlink's view of it.
fn practise() -> (u32, Interface) {
    ip("link add vpm0 type veth peer name far0");
    ip("link set far0 up");
    let shown = ip("-o link show vpm0");
    let index = shown.split(':').next().unwrap().parse().unwrap();
    (index, Interface::open(index).unwrap())
}

#[test]
fn only_the_difference_is_changed() {
    in_namespace(|| async {
        let (_, mut interface) = practise();
        let first =
            wanted(&["fd00:1::1/128", "10.88.0.1/32"], &["fd00:1::/48", "10.88.0.0/16", "10.89.0.0/16"]);
        let applied = interface.apply(&first).await.unwrap();
        assert_eq!((applied.changes, applied.refused), (6, vec![]), "link, two addresses, three routes");
        let routes = ip("route show proto 88");
        assert!(routes.contains("10.88.0.0/16 dev vpm0 scope link src 10.88.0.1"), "{routes}");
        assert!(ip("-6 route show proto 88").contains("fd00:1::/48 dev vpm0 src fd00:1::1"));
        assert!(ip("link show vpm0").contains("mtu 1400"));

        assert_eq!(interface.apply(&first).await.unwrap().changes, 0, "nothing to do");

        let second =
            wanted(&["fd00:1::1/128", "10.88.0.1/32"], &["fd00:1::/48", "fd00:2::/48", "10.88.0.0/16"]);
        assert_eq!(interface.apply(&second).await.unwrap().changes, 2);
        assert!(!ip("route").contains("10.89") && ip("-6 route").contains("fd00:2::/48"));
    });
}

#[test]
fn another_address_takes_its_routes_along() {
    in_namespace(|| async {
        let (_, mut interface) = practise();
        interface.apply(&wanted(&["10.88.0.1/32"], &["10.88.0.0/16"])).await.unwrap();
        let applied = interface.apply(&wanted(&["10.88.0.2/32"], &["10.88.0.0/16"])).await.unwrap();
        assert_eq!(applied.refused, []);
        assert!(ip("route").contains("src 10.88.0.2"));
        assert!(!ip("addr show vpm0").contains("10.88.0.1"));
    });
}

#[test]
fn what_others_put_there_stays() {
    in_namespace(|| async {
        let (_, mut interface) = practise();
        interface.apply(&wanted(&["10.88.0.1/32"], &["10.88.0.0/16"])).await.unwrap();
        ip("addr add 192.0.2.1/24 dev vpm0");
        ip("route add 198.51.100.0/24 dev vpm0");
        let applied = interface.apply(&wanted(&[], &[])).await.unwrap();
        assert_eq!((applied.changes, applied.refused), (2, vec![]));
        assert!(ip("addr show vpm0").contains("192.0.2.1") && ip("route").contains("198.51.100.0/24"));
    });
}

#[test]
fn a_route_that_is_somebody_elses_is_told_and_the_others_are_made() {
    in_namespace(|| async {
        let (_, mut interface) = practise();
        ip("link add lan0 type veth peer name lan1");
        ip("link set lan0 up");
        ip("route add 10.88.0.0/16 dev lan0");
        let applied =
            interface.apply(&wanted(&["10.88.0.1/32"], &["10.88.0.0/16", "10.89.0.0/16"])).await.unwrap();
        assert_eq!(applied.refused.len(), 1);
        assert_eq!(applied.refused[0].what, "route 10.88.0.0/16");
        assert!(
            ip("route").contains("10.89.0.0/16 dev vpm0") && ip("route").contains("10.88.0.0/16 dev lan0")
        );
    });
}

#[test]
fn a_flushed_interface_is_told_and_made_whole_again() {
    in_namespace(|| async {
        let (index, mut interface) = practise();
        let whole = wanted(&["fd00:1::1/128", "10.88.0.1/32"], &["fd00:1::/48", "10.88.0.0/16"]);
        interface.apply(&whole).await.unwrap();
        let mut changes = Changes::open(index).unwrap();
        ip("link set vpm0 down");
        ip("addr flush dev vpm0");
        changes.changed().await.unwrap();
        interface.apply(&whole).await.unwrap();
        assert!(ip("addr show vpm0").contains("fd00:1::1/128"));
        assert!(ip("route").contains("10.88.0.0/16") && ip("-6 route").contains("fd00:1::/48"));
    });
}

#[test]
fn news_of_other_interfaces_are_no_news() {
    in_namespace(|| async {
        let (index, mut interface) = practise();
        interface.apply(&wanted(&[], &[])).await.unwrap();
        let mut changes = Changes::open(index).unwrap();
        let quiet = std::time::Duration::from_secs(2);
        // The kernel's own doings (carrier, link-local address) come to rest first, most often. News of others would come
        // every time.
        let mut told = 0;
        for n in 0..3 {
            while tokio::time::timeout(quiet, changes.changed()).await.is_ok() {}
            ip(&format!("link add other{n} type veth peer name peer{n}"));
            ip(&format!("link set other{n} up"));
            ip(&format!("addr add 192.0.2.{}/32 dev other{n}", n + 1));
            let news = tokio::time::timeout(std::time::Duration::from_millis(100), changes.changed()).await;
            told += u32::from(news.is_ok());
            if told == 0 {
                return;
            }
        }
        assert!(told < 3, "the news was of others");
    });
}

#[test]
fn down_takes_everything_of_ours_away() {
    in_namespace(|| async {
        let (_, mut interface) = practise();
        interface.apply(&wanted(&["10.88.0.1/32"], &["10.88.0.0/16"])).await.unwrap();
        interface.apply(&Wanted::default()).await.unwrap();
        assert!(!ip("addr show vpm0").contains("10.88.0.1") && !ip("route").contains("10.88"));
        assert!(!ip("link show vpm0").contains(",UP"));
    });
}

#[test]
fn an_mtu_that_the_interface_cannot_have_leaves_it_up() {
    in_namespace(|| async {
        let (_, mut interface) = practise();
        let applied = interface
            .apply(&Wanted { mtu: 60, ..wanted(&["10.88.0.1/32"], &["10.88.0.0/16"]) })
            .await
            .unwrap();
        assert_eq!(applied.refused.len(), 1, "{:?}", applied.refused);
        assert!(ip("link show vpm0").contains(",UP"), "{}", ip("link show vpm0"));
        assert!(ip("route").contains("10.88.0.0/16"));
    });
}
