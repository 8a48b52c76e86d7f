# The simulation for longer than `make test` runs it: `make sim SEEDS=5000`, or one seed with its log, `make sim SEED=7`.

.PHONY: sim sim-scale

sim:
	SEEDS=$(SEEDS) SEED=$(SEED) cargo test --test sim -- --nocapture what_the_rosters_allow

# What a node needs among 30, 100 and 300 gateways, as a table.
sim-scale:
	cargo test --test sim -- --nocapture --ignored among_300
