//! The cases of "how it is seen to work", in the order of the gateway issue; first the lab itself.

mod lab_itself;

mod two_stations;

mod station_add;

mod explain_truth;

mod two_owners;

mod guest;

mod gateways;

mod travel;

mod passage;

mod joining;

mod names;

mod relay;

mod twins;

mod hostile;

mod nat_grid;

mod revocation;

mod reload;

mod spoofing;

mod roaming;

mod lan_hosts;

mod internet_egress;

mod port_mapping;

mod kernel_half;

mod tun_offload;

mod path_mtu;

mod bad_datagrams;

mod crowd;

mod bad_rosters;

mod thousand_stations;

mod nft_truth;
