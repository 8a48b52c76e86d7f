//! WireGuard peers. The only module that names boringtun.
