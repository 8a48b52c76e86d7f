//! Sockets, TUN, netlink, clock, files.
