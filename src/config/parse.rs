//! Text to a checked configuration.

use std::fmt::Display;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::keys::Keys;
use super::{
    CONFIG_BYTES_MAX, CONTROL_SOCKET, Config, DOMAIN, FWMARK_TAKEN, FailSafe, INTRODUCERS_MAX, InterfaceName,
    Introducer, OwnerKeySource, UCI_CONTROL_SOCKET, UCI_FOLDER, uci,
};
use crate::base::signify::OwnerKey;
use crate::base::{Fault, Faults, Line, Name, NameError, NodePath};

/// The longest path of a Unix socket, in bytes: `sun_path` less the closing zero (unix(7)).
const SOCKET_PATH_MAX: usize = 107;

const ROSTERS: &str = "/etc/vpmesh/rosters";
const LISTEN: u32 = 51888;
const MTU: u32 = 1420;
const FLOWS: u32 = 65_536;
const BUFFER: u32 = 1024 * 1024;

impl Config {
    /// Reads a node's configuration, TOML or UCI. `file` is its name in faults; paths in it are relative to `folder`,
    /// in UCI's to [`UCI_FOLDER`].
    ///
    /// # Errors
    /// Every fault of the file, in the order of lines.
    pub fn parse(file: &str, folder: &Path, text: &str) -> Result<Self, Faults> {
        let file: Arc<str> = file.into();
        if text.len() > CONFIG_BYTES_MAX {
            return Err(Faults(vec![Fault {
                file,
                line: Line(0),
                what: format!("is {} bytes long", text.len()),
                mend: format!("a configuration has at most {CONFIG_BYTES_MAX}"),
            }]));
        }
        let (mut keys, paths) = if uci::is_uci(text) {
            let paths = Paths { folder: Path::new(UCI_FOLDER), control: UCI_CONTROL_SOCKET };
            (Keys::read_uci(&file, text)?, paths)
        } else {
            (Keys::read_toml(&file, text)?, Paths { folder, control: CONTROL_SOCKET })
        };
        let config = read(&mut keys, &paths, file);
        keys.finish()?;
        // Nothing was refused, so what is required is there.
        config.ok_or_else(Faults::default)
    }
}

/// Takes every key. `None`: something that is required is missing or was refused.
fn read(keys: &mut Keys<'_>, paths: &Paths<'_>, file: Arc<str>) -> Option<Config> {
    let node = required(keys, "node", "write OWNER/ROOM/GATEWAY or OWNER/RELAY, as in the roster", node);
    let private_key =
        required(keys, "private_key", "write the path of a file that `vpmesh key new` made", |text| {
            paths.absolute(text)
        });
    let room_key =
        keys.parsed("room_key", "write the path of the file with the room's private key", |text| {
            paths.absolute(text)
        });
    let owner_key =
        required(keys, "owner_key", "write the owner's public key (RWQ…) or its file's path", |text| {
            owner_key(text, paths)
        });
    let rosters =
        keys.parsed("rosters", "write the path of the folder with the rosters", |text| paths.absolute(text));
    let interface =
        keys.parsed("interface", "write 1 to 15 of a-z, A-Z, 0-9, '-', '_' and '.'", InterfaceName::from_str);
    let listen = number(keys, "listen", 1, u32::from(u16::MAX), LISTEN, "write a UDP port, 1 to 65535");
    let control = keys.parsed("control", "write the path of the control socket, 107 bytes at most", |text| {
        socket_path(text, paths)
    });
    let metrics = keys.parsed("metrics", "write ADDRESS:PORT, as 127.0.0.1:9588 or [::1]:9588", address);
    let tls_listen = keys.parsed("tls_listen", "write ADDRESS:PORT, as [::]:443 for any address", address);
    let dns = keys.parsed("dns", "write ADDRESS:PORT of this host, as 127.0.0.1:5358", address);
    let domain =
        keys.parsed("domain", "write a domain that nobody else has, as mesh or home.example.net", domain);
    let mtu = number(keys, "mtu", 1280, 9000, MTU, "write 1280 (IPv6 needs as much) to 9000");
    let fwmark = fwmark(keys);
    let flows = number(keys, "flows", 256, 4_194_304, FLOWS, "write 256 to 4194304 flows");
    let log = keys.parsed(
        "log",
        "write error, warn, info, debug, trace or off, or MODULE=LEVEL after commas",
        levels,
    );
    let fail_safe = keys.parsed("fail_safe", "write closed or open", fail_safe);
    let lan_admin = keys.flag("lan_admin", "write true or false (in UCI 1 or 0)");
    let mut buffer = |key| number(keys, key, 65_536, 67_108_864, BUFFER, "write bytes, 65536 to 67108864");
    let receive_buffer = buffer("receive_buffer");
    let send_buffer = buffer("send_buffer");
    let introducers = introducers(keys);
    let port_mapping = keys.flag("port_mapping", "write true or false (in UCI 1 or 0)").unwrap_or(true);
    Some(Config {
        file,
        node: node?,
        private_key: private_key?,
        room_key,
        owner_key: owner_key?,
        rosters: rosters.unwrap_or_else(|| ROSTERS.into()),
        interface: interface.unwrap_or_default(),
        listen: narrow(listen),
        control: control.unwrap_or_else(|| paths.control.into()),
        metrics,
        tls_listen,
        dns,
        domain: domain.unwrap_or_else(|| DOMAIN.into()),
        mtu: narrow(mtu),
        fwmark,
        flows,
        log: log.unwrap_or_else(|| "info".to_owned()),
        fail_safe: fail_safe.unwrap_or_default(),
        lan_admin: lan_admin.unwrap_or(true),
        receive_buffer,
        send_buffer,
        introducers,
        port_mapping,
    })
}

/// Numbers whose range was checked when they were read.
fn narrow(number: u32) -> u16 {
    u16::try_from(number).unwrap_or(u16::MAX)
}

fn required<T, E: Display>(
    keys: &mut Keys<'_>,
    key: &'static str,
    mend: &str,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Option<T> {
    let there = keys.has(key);
    let value = keys.parsed(key, mend, parse);
    if !there {
        keys.missing(key, mend);
    }
    value
}

fn number(keys: &mut Keys<'_>, key: &'static str, least: u32, most: u32, default: u32, mend: &str) -> u32 {
    keys.number(key, &(least..=most), mend).map_or(default, |(number, _)| number)
}

fn node(text: &str) -> Result<NodePath, String> {
    let path: NodePath = text.parse().map_err(|error: crate::base::NameError| error.to_string())?;
    match path.segments().len() {
        2 | 3 => Ok(path),
        1 => Err("is an owner, not a gateway or a relay".to_owned()),
        _ => Err("is an application, not a gateway or a relay".to_owned()),
    }
}

fn owner_key(text: &str, paths: &Paths<'_>) -> Result<OwnerKeySource, String> {
    // What signify writes is 56 characters that begin with `Ed` in base64; a path that looks like it would be odd.
    if text.len() != 56 || !text.starts_with("RW") || text.contains(['.', '_']) {
        return paths.absolute(text).map(OwnerKeySource::File);
    }
    let bytes = STANDARD.decode(text).map_err(|_| "is not base64".to_owned())?;
    let Ok(bytes): Result<[u8; 42], _> = bytes.try_into() else {
        return Err("is not as long as an owner's public key".to_owned());
    };
    if &bytes[..2] != b"Ed" {
        return Err("is no Ed25519 key of signify's".to_owned());
    }
    let mut key = OwnerKey { number: [0; 8], ed25519: [0; 32] };
    key.number.copy_from_slice(&bytes[2..10]);
    key.ed25519.copy_from_slice(&bytes[10..]);
    Ok(OwnerKeySource::Literal(key))
}

fn socket_path(text: &str, paths: &Paths<'_>) -> Result<PathBuf, String> {
    let path = paths.absolute(text)?;
    match path.as_os_str().len() {
        length if length > SOCKET_PATH_MAX => Err(format!("makes a path of {length} bytes")),
        _ => Ok(path),
    }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text.parse().map_err(|_| "is not an address and a port".to_owned())?;
    if address.port() == 0 { Err("has no port".to_owned()) } else { Ok(address) }
}

fn fwmark(keys: &mut Keys<'_>) -> Option<NonZeroU32> {
    const MEND: &str = "write a number with none of the bits 0x00ff3f00, as 0x51000000";
    let (mark, line) = keys.number("fwmark", &(1..=u32::MAX), MEND)?;
    if mark & FWMARK_TAKEN != 0 {
        let what = format!("fwmark = {mark:#x} has bits that OpenWrt's own mwan3 and pbr use");
        keys.fault(line, what, MEND);
    }
    NonZeroU32::new(mark)
}

fn introducers(keys: &mut Keys<'_>) -> Vec<Introducer> {
    const MEND: &str = "write KEY@HOST:PORT of gateways that run, as `vpmesh invite` prints them, 16 at most";
    let there = keys.line_of("introducers");
    let mut introducers = keys.parsed_list("introducers", MEND, Introducer::from_str);
    if let Some(line) = there
        && introducers.len() > INTRODUCERS_MAX
    {
        keys.fault(line, format!("introducers has {} of them", introducers.len()), MEND);
        introducers.truncate(INTRODUCERS_MAX);
    }
    introducers
}

fn fail_safe(text: &str) -> Result<FailSafe, &'static str> {
    [FailSafe::Closed, FailSafe::Open]
        .into_iter()
        .find(|fail_safe| fail_safe.name() == text)
        .ok_or("is neither closed nor open")
}

/// Labels as names of rosters are, with dots between.
fn domain(text: &str) -> Result<Arc<str>, NameError> {
    text.split('.').try_for_each(|label| label.parse::<Name>().map(|_| ()))?;
    Ok(text.into())
}

/// Checks log levels: `info`, or `info,vpmesh::os=debug`.
///
/// # Errors
/// The part that is none.
pub fn levels(text: &str) -> Result<String, String> {
    for part in text.split(',') {
        let (target, level) = part.rsplit_once('=').unwrap_or(("vpmesh", part));
        let level_is_good = matches!(level.trim(), "error" | "warn" | "info" | "debug" | "trace" | "off");
        let target_is_good = !target.is_empty()
            && target.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | ':' | '-'));
        if !level_is_good || !target_is_good {
            return Err(format!("has {:?}, which is no level", part.trim()));
        }
    }
    Ok(text.to_owned())
}

/// Makes paths absolute.
struct Paths<'a> {
    folder: &'a Path,
    /// Where the control socket is unless the file says.
    control: &'static str,
}

impl Paths<'_> {
    fn absolute(&self, text: &str) -> Result<PathBuf, String> {
        if text.is_empty() {
            return Err("is empty".to_owned());
        }
        if text.chars().any(char::is_control) {
            return Err("has a control character".to_owned());
        }
        Ok(self.folder.join(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "RWQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

    fn parse(text: &str) -> Result<Config, Faults> {
        Config::parse("node.toml", Path::new("/etc/vpmesh"), text)
    }

    fn smallest() -> String {
        format!("node = \"alice/attic/gw\"\nprivate_key = \"node.key\"\nowner_key = \"{KEY}\"\n")
    }

    #[test]
    fn what_the_file_leaves_out_has_the_default_of_the_contract() {
        let config = parse(&smallest()).unwrap();
        assert_eq!(config.rosters, Path::new("/etc/vpmesh/rosters"));
        assert_eq!(config.interface.as_str(), "vpm0");
        assert_eq!((config.listen, config.mtu, config.fwmark, config.metrics), (51888, 1420, None, None));
        assert_eq!(config.control, Path::new("/var/run/vpmesh.sock"));
        assert!(matches!(config.owner_key, OwnerKeySource::Literal(_)));
    }

    #[test]
    fn a_relative_path_is_relative_to_the_folder_of_the_file() {
        let text = smallest().replace(KEY, "keys/alice.pub") + "control = \"/run/c\"\nrosters = \"../r\"\n";
        let config = parse(&text).unwrap();
        assert_eq!(config.private_key, Path::new("/etc/vpmesh/node.key"));
        assert_eq!(config.owner_key, OwnerKeySource::File("/etc/vpmesh/keys/alice.pub".into()));
        assert_eq!(config.control, Path::new("/run/c"));
        assert_eq!(config.rosters, Path::new("/etc/vpmesh/../r"));
    }

    /// The same configuration in UCI.
    fn as_uci(toml: &str) -> String {
        let option = |line: &str| {
            let (key, value) = line.split_once('=').unwrap();
            format!("\toption {} '{}'\n", key.trim(), value.trim().trim_matches('"'))
        };
        format!("config node 'main'\n{}", toml.lines().map(option).collect::<String>())
    }

    #[test]
    fn every_key_is_the_same_in_uci() {
        let text = smallest()
            + "rosters = \"/r\"\ninterface = \"mesh0\"\nlisten = 1\ncontrol = \"/c\"\nmetrics = \"[::1]:9\"\ntls_listen = \"[::]:443\"\n\
               mtu = 1300\nfwmark = 0x51000000\nflows = 300\nlog = \"debug\"\nreceive_buffer = 70000\nsend_buffer = 80000\n\
               introducers = \"LpHbXZJY4P+Ac4WZ85FjdxUiH7ZA3nAa4mHOT0ltB2o=@attic.example.net:51888\"\n\
               port_mapping = false\nfail_safe = \"open\"\nlan_admin = false\n";
        assert_eq!(text.lines().count(), 19, "every key");
        let uci = Config::parse("node.toml", Path::new("/elsewhere"), &as_uci(&text)).unwrap();
        assert_eq!(uci, parse(&text).unwrap());
    }

    #[test]
    fn lists_are_the_same_in_uci() {
        let key = "LpHbXZJY4P+Ac4WZ85FjdxUiH7ZA3nAa4mHOT0ltB2o=";
        let (a, b) = (format!("{key}@attic.example.net:51888"), format!("{key}@[2001:db8::1]:1"));
        let toml = parse(&(smallest() + &format!("introducers = [{a:?}, {b:?}]\n"))).unwrap();
        assert_eq!(
            toml.introducers.iter().map(ToString::to_string).collect::<Vec<_>>(),
            [a.clone(), b.clone()]
        );
        let text = as_uci(&smallest()) + &format!("\tlist introducers '{a}'\n\tlist introducers '{b}'\n");
        assert_eq!(parse(&text).unwrap().introducers, toml.introducers);
        let wrong =
            as_uci(&smallest()) + &format!("\tlist introducers '{a}'\n\tlist introducers 'attic:1'\n");
        let said = parse(&wrong).unwrap_err().to_string();
        assert!(
            said.contains(":6: introducers has \"attic:1\", which has no key and '@'; write KEY@HOST:PORT"),
            "{said}"
        );
        for (wrong, said) in [
            ("introducers = [1]", "introducers has a whole number, not texts only"),
            ("introducers = 1", "introducers is a whole number, not a list of texts"),
            (
                &*format!("introducers = [{}]", vec![format!("{a:?}"); 17].join(", ")),
                "introducers has 17 of them",
            ),
        ] {
            let faults = parse(&(smallest() + wrong + "\n")).unwrap_err().to_string();
            assert!(faults.contains(said), "{faults}");
        }
    }

    #[test]
    fn on_a_router_paths_have_defaults_of_their_own() {
        let text = as_uci(&smallest());
        let config = Config::parse("vpmesh", Path::new("/etc/config"), &text).unwrap();
        assert_eq!(config.private_key, Path::new("/etc/vpmesh/node.key"));
        assert_eq!(config.control, Path::new("/var/run/vpmesh/control.sock"));
    }

    #[test]
    fn the_faults_are_the_same_in_uci() {
        for wrong in [
            "listen = 70000",
            "mtu = 100",
            "lisen = 5",
            "interface = \"a/b\"",
            "fwmark = 0x100",
            "log = \"loud\"",
            "fail_safe = \"ajar\"",
        ] {
            let text = smallest() + wrong + "\n";
            let (toml, uci) = (parse(&text).unwrap_err(), parse(&as_uci(&text)).unwrap_err());
            // UCI has one line more above.
            assert_eq!(uci.to_string(), toml.to_string().replace(":4:", ":5:"), "{wrong}");
        }
        let said = parse(&as_uci(&(smallest() + "mtu = many\n"))).unwrap_err().to_string();
        assert!(said.contains(":5: mtu = \"many\" is no whole number; write 1280"), "{said}");
        let said = parse(&(as_uci(&smallest()) + "\tlist mtu '1400'\n")).unwrap_err().to_string();
        assert!(said.contains("mtu is a list, not a whole number"), "{said}");
    }

    #[test]
    fn a_yes_or_no_is_written_as_each_file_has_it() {
        for (word, flag) in [("1", true), ("on", true), ("0", false), ("no", false)] {
            let text = as_uci(&smallest()) + &format!("\toption lan_admin '{word}'\n");
            assert_eq!(parse(&text).unwrap().lan_admin, flag, "{word}");
        }
        let said = parse(&(smallest() + "lan_admin = \"no\"\n")).unwrap_err().to_string();
        assert!(said.contains(":4: lan_admin is a text, not true or false; write true or false"), "{said}");
        let said = parse(&as_uci(&(smallest() + "lan_admin = maybe\n"))).unwrap_err().to_string();
        assert!(said.contains(":5: lan_admin = \"maybe\" is no yes or no; write true or false"), "{said}");
    }

    #[test]
    fn the_fail_safe_is_closed_and_the_lan_not_locked_out_unless_it_is_written() {
        let config = parse(&smallest()).unwrap();
        assert_eq!((config.fail_safe, config.lan_admin), (FailSafe::Closed, true));
    }

    #[test]
    fn a_relay_is_a_node_too() {
        assert!(parse(&smallest().replace("alice/attic/gw", "alice/hill")).is_ok());
    }

    #[test]
    fn a_mark_that_others_use_is_refused() {
        for (mark, good) in
            [("0x51000000", true), ("0x10000", false), ("0x100", false), ("255", true), ("0", false)]
        {
            assert_eq!(parse(&format!("{}fwmark = {mark}\n", smallest())).is_ok(), good, "{mark}");
        }
    }

    #[test]
    fn no_text_makes_the_parser_panic() {
        for text in [
            "",
            "\0",
            "=",
            "[",
            "node",
            "node = [[",
            "[a]\n[a]",
            "\u{feff}node = 1",
            "mtu = 1e999",
            "config",
            "config node\noption",
            "config node 'x",
            "config node\n option mtu \"\\",
            "config node\n option mtu 0x",
        ] {
            assert!(parse(text).is_err(), "{text:?}");
        }
        assert!(parse(&"x".repeat(CONFIG_BYTES_MAX + 1)).is_err());
    }
}
