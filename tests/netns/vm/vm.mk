# Cases on a Debian kernel, which has what the kernel here may lack (flow tables, WireGuard of its own), in a virtual
# machine without KVM: some ten times slower. `make test-vm CASE=roaming` runs those whose names have that in them, with
# stations that are the kernel's own.

.PHONY: test-vm

IN_VM := --config "target.'cfg(unix)'.runner='tests/netns/vm/boot'" -- --test-threads=1
VM_CASE := $(or $(CASE),two_stations_reach)

test-vm:
	.ci/deps vm
	$(if $(CASE),,cargo test --test netns $(IN_VM) --ignored offloaded)
	VPMESH_LAB_KERNEL_WIREGUARD=1 cargo test --test netns $(IN_VM) $(VM_CASE)
