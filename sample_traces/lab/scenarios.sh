# Sourced inside the guest: one function per scenario. Each leaves its files in /out.
EV="-e gup -e writeback -e filemap -e filelock -e fs_dax -e migrate -e vmscan -e sched:sched_process_exit -e sched:sched_process_fork -e sched:sched_process_exec -e task:task_newtask -e rdma_core"
EXT4="-e ext4:ext4_punch_hole -e ext4:ext4_truncate_enter -e ext4:ext4_truncate_exit -e ext4:ext4_sync_file_enter -e ext4:ext4_sync_file_exit -e ext4:ext4_writepages -e ext4:ext4_writepages_result -e ext4:ext4_fallocate_enter -e ext4:ext4_fallocate_exit -e ext4:ext4_free_blocks -e ext4:ext4_allocate_blocks"
XFS="-e xfs:xfs_free_file_space -e xfs:xfs_setattr -e xfs:xfs_file_fsync -e iomap"

setup_rdma() {   # soft-RoCE on a dummy interface: real ib_umem_get, real long-term pins
	modprobe ib_uverbs; modprobe rdma_rxe; modprobe rdma_ucm
	ip link set lo up; modprobe dummy; ip addr add 10.99.0.1/24 dev dummy0; ip link set dummy0 up
	rdma link add rxe0 type rxe netdev dummy0
	for p in pinload leaseload daxload hog; do gcc -O2 -o /tmp/$p /lab/$p.c -libverbs -lpthread; done
	sh /lab/probes.sh
}
ext4() { mkfs.ext4 -q -F /dev/vdb; mkdir -p /data; mount /dev/vdb /data; }
xfs()  { modprobe xfs; mkfs.xfs -q -f /dev/vdb; mkdir -p /data; mount /dev/vdb /data; }
dax()  {         # needs memmap=512M!1G on the kernel command line
	modprobe libnvdimm; modprobe nd_pmem; modprobe nd_e820; sleep 1
	mkfs.ext4 -q -F -b 4096 /dev/pmem0; mkdir -p /dax; mount -o dax /dev/pmem0 /dax
}
# pinload FILE MB ROUNDS MODE MRS   mode bit 0: fsync (else sync_file_range), bit 1: punch holes;  PACE=ms WRITES=n
pin_ext4()  { ext4; trace-cmd record $EV $EXT4 -o /out/ext4.dat /tmp/pinload /data/f 4 2 3 4; }
pin_xfs()   { xfs;  trace-cmd record $EV $XFS  -o /out/xfs.dat  /tmp/pinload /data/f 4 2 3 4; }
big_ext4()  { ext4; PACE=1 WRITES=${WRITES:-300} trace-cmd record -b 40000 $EV $EXT4 -o /out/big.dat /tmp/pinload /data/f 64 8 3 8; }
perf_ext4() { ext4; perf record -q -d -o /out/ext4.perf.data -e 'gup:*' -e 'writeback:*' -e 'filemap:*' -e 'filelock:*' -e 'ext4:ext4_punch_hole' -e 'ext4:ext4_sync_file_*' -e 'ext4:ext4_truncate_*' /tmp/pinload /data/f 2 1 3 2; }
# leaseload FILE MB TRUNCATES REVOKE_MS   an F_SETLEASE holder that deregisters its MR when the lease is broken
lease()         { ext4; trace-cmd record $EV $EXT4 -o /out/lease.dat /tmp/leaseload /data/f 8 6 ${REVOKE_MS:-120}; }
lease_timeout() { ext4; echo 8 > /proc/sys/fs/lease-break-time; trace-cmd record $EV $EXT4 -o /out/lease-timeout.dat /tmp/leaseload /data/f 8 2 20000; }
# daxload FILE BLOCKDEV MB SECONDS [rdma]   direct IO into a DAX mapping while the file is hole-punched; rdma: also tries ibv_reg_mr
dax_wait()    { ext4; dax; timeout -s INT 30 trace-cmd record $EV $EXT4 -o /out/dax.dat /tmp/daxload /dax/f /dev/vdb 8 3; }
dax_refused() { ext4; dax; timeout -s INT 20 trace-cmd record $EV $EXT4 -o /out/dax-refused.dat /tmp/daxload /dax/f /dev/vdb 8 3 rdma; }
pressure()    { ext4; dd if=/dev/zero of=/data/cold bs=1M count=400; (/tmp/hog 500 12 &); trace-cmd record $EV $EXT4 -o /out/pressure.dat /tmp/pinload /data/f 16 4 3 4; }  # boot with MEM=1000

# The two recordings that this project ships. An empty kallsyms keeps them small: nothing here needs symbol names.
no_symbols() { : > /tmp/none; mount --bind /tmp/none /proc/kallsyms; }
# An RDMA server over a shared ext4 file, while another process punches a hole into the pinned file and syncs it.
rdma_ext4() {
	no_symbols; ext4
	cat > /tmp/server <<-'END'
		/tmp/pinload /data/f 4 3 3 4 & server=$!
		while [ ! -s /data/f ]; do sleep 0.05; done
		for hole in 256K 1280K 2304K 3328K; do sleep 0.4; fallocate -p -o $hole -l 64K /data/f; sync /data/f; done
		wait $server
	END
	WRITES=${WRITES:-40} PACE=10 trace-cmd record $EV $EXT4 -o /out/rdma-ext4.dat sh /tmp/server
}
# A lease holder that answers each break after 120 ms, then direct IO into a DAX mapping whose hole punch never returns.
lease_dax() {
	no_symbols; ext4; dax
	cat > /tmp/both <<-'END'
		/tmp/leaseload /data/f 8 4 120
		/tmp/daxload /dax/f /dev/vdb 8 2
	END
	timeout -s INT 40 trace-cmd record $EV $EXT4 -o /out/lease-dax.dat sh /tmp/both
}
