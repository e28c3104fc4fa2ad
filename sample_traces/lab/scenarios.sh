# Sourced inside the guest: one function per scenario. Each leaves its files in /out.
EV="-e gup -e writeback -e filemap -e filelock -e fs_dax -e migrate -e vmscan -e sched:sched_process_exit -e sched:sched_process_fork -e sched:sched_process_exec -e task:task_newtask -e rdma_core"
EXT4="-e ext4:ext4_punch_hole -e ext4:ext4_truncate_enter -e ext4:ext4_truncate_exit -e ext4:ext4_sync_file_enter -e ext4:ext4_sync_file_exit -e ext4:ext4_writepages -e ext4:ext4_writepages_result -e ext4:ext4_fallocate_enter -e ext4:ext4_fallocate_exit -e ext4:ext4_free_blocks -e ext4:ext4_allocate_blocks"
XFS="-e xfs:xfs_free_file_space -e xfs:xfs_setattr -e xfs:xfs_file_fsync -e xfs:xfs_reflink_remap_range -e xfs:xfs_itruncate_extents_start -e xfs:xfs_itruncate_extents_end -e iomap"
CALLS="-e syscalls:sys_enter_truncate -e syscalls:sys_exit_truncate -e syscalls:sys_enter_ftruncate -e syscalls:sys_exit_ftruncate -e syscalls:sys_enter_fallocate -e syscalls:sys_exit_fallocate -e syscalls:sys_enter_munmap"

setup_rdma() {   # soft-RoCE on a dummy interface: real ib_umem_get, real long-term pins
	modprobe ib_uverbs; modprobe rdma_rxe; modprobe rdma_ucm
	ip link set lo up; modprobe dummy; ip addr add 10.99.0.1/24 dev dummy0; ip link set dummy0 up
	rdma link add rxe0 type rxe netdev dummy0
	for p in pinload leaseload daxload hog mrload; do gcc -O2 -o /tmp/$p /lab/$p.c -libverbs -lpthread; done
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
big_ext4()  { ext4; PACE=1 WRITES=${WRITES:-300} trace-cmd record -b 40000 $EV $EXT4 -o /out/big.dat /tmp/pinload /data/f 64 8 3 8; }
perf_ext4() { ext4; perf record -q -d -o /out/ext4.perf.data -e 'gup:*' -e 'writeback:*' -e 'filemap:*' -e 'filelock:*' -e 'ext4:ext4_punch_hole' -e 'ext4:ext4_sync_file_*' -e 'ext4:ext4_truncate_*' /tmp/pinload /data/f 2 1 3 2; }
# leaseload FILE MB TRUNCATES REVOKE_MS   an F_SETLEASE holder that deregisters its MR when the lease is broken
lease()         { ext4; trace-cmd record $EV $EXT4 -o /out/lease.dat /tmp/leaseload /data/f 8 6 ${REVOKE_MS:-120}; }
lease_timeout() { ext4; echo 8 > /proc/sys/fs/lease-break-time; trace-cmd record $EV $EXT4 -o /out/lease-timeout.dat /tmp/leaseload /data/f 8 2 20000; }
# daxload FILE BLOCKDEV MB SECONDS [rdma]   direct IO into a DAX mapping while the file is hole-punched; rdma: also tries ibv_reg_mr
dax_wait()    { ext4; dax; timeout -s INT 30 trace-cmd record $EV $EXT4 -o /out/dax.dat /tmp/daxload /dax/f /dev/vdb 8 3; }
dax_refused() { ext4; dax; timeout -s INT 20 trace-cmd record $EV $EXT4 -o /out/dax-refused.dat /tmp/daxload /dax/f /dev/vdb 8 3 rdma; }
# record NAME [EVENTS...] -- COMMAND...: a trace of the command, under the scenario's name
record() {
	name=$1; shift; events=
	while [ "$1" != -- ]; do events="$events $1"; shift; done; shift
	trace-cmd record -b ${BUFFER:-8000} $EV $CALLS $events -o /out/$name.dat "$@"
}
# Boot these two with MEM=1000 APPEND=quiet: pins are taken and dropped while reclaim and writeback of other files are under way.
squeeze() {   # COMMAND...: run it while one process takes and gives back all but 80 MB of the memory, and another reads a larger file
	dd if=/dev/zero of=/data/cold bs=1M count=300
	/tmp/hog $(awk '/MemAvailable/ {print int($2 / 1024) - 80}' /proc/meminfo) 300 & hog=$!
	while :; do cat /data/cold > /dev/null; done & reader=$!
	sleep 2; "$@"; kill $hog $reader
}
pressure()      { ext4; BUFFER=30000 squeeze record pressure $EXT4 -- /tmp/pinload /data/f 16 4 3 4; }
perf_pressure() { ext4; squeeze perf_all perf_pressure /tmp/pinload /data/f 16 3 3 4; }
# Every task on every CPU, as perf sees them.
perf_all() { name=$1; shift; perf record -q -a -d -m 4096 -o /out/$name.perf.data -e 'gup:*' -e 'writeback:*' -e 'filemap:*' -e 'filelock:*' -e 'task:task_newtask' -e 'ext4:ext4_punch_hole' -e 'ext4:ext4_sync_file_*' -e 'ext4:ext4_truncate_*' -e 'ext4:ext4_writepages' -e 'ext4:ext4_writepages_result' "$@"; }
perf_ext4_all() { ext4; perf_all perf_ext4_all /tmp/pinload /data/f 4 4 3 4; }

# Scenarios of mrload, whose steps are told at the top of mrload.c. README.md says what each must show; check.py looks for it.
# workload NAME: the script on stdin, in which hear and say are what mrload's steps of that name are
workload() { rm -f /tmp/said*; { echo 'hear() { while [ ! -e "$1" ]; do sleep 0.02; done; }; say() { : > "$1"; }'; cat; } > /tmp/$1.sh; }
fork_mr() { ext4; record fork_mr $EXT4 -- /tmp/mrload map /data/f 1024 reg 2 fork 200 touch 0 64 fsync wait touch 0 64 fsync dereg; }
kill_mr() { ext4; record kill_mr $EXT4 -- /tmp/mrload map /data/f 1024 reg 4 touch 0 512 fsync sleep 50 kill; }
two_processes() { ext4; workload two_processes <<-'END'
		/tmp/mrload map /data/f 2048 reg 2 touch 0 256 say /tmp/said1 hear /tmp/said3 fsync sleep 200 dereg &
		hear /tmp/said1
		/tmp/mrload map /data/f 2048 reg 1 touch 0 1024 say /tmp/said2 hear /tmp/said3 sleep 50 fsync dereg &
		hear /tmp/said2; fallocate -p -o 256K -l 64K /data/f; say /tmp/said3; wait
	END
	record two_processes $EXT4 -- sh /tmp/two_processes.sh; }
hole_fill() { ext4; workload hole_fill <<-'END'
		/tmp/mrload map /data/f 1024 reg 1 touch 0 1024 fsync say /tmp/said1 hear /tmp/said2 touch 256 128 fsync sleep 100 dereg fsync &
		hear /tmp/said1; fallocate -p -o 256K -l 128K /data/f; say /tmp/said2; wait
	END
	record hole_fill $EXT4 -- sh /tmp/hole_fill.sh; }
pin_xfs() { xfs; record pin_xfs $XFS -- /tmp/pinload /data/f 4 3 3 4; }
# A file that was read ahead, so that its folios have many pages; then regions over it.
xfs_large() {
	xfs; dd if=/dev/zero of=/data/f bs=1M count=8; sync; echo 3 > /proc/sys/vm/drop_caches; cat /data/f > /dev/null
	record xfs_large $XFS -- /tmp/mrload map /data/f 8192 reg 4 touch 0 2048 fsync touch 4096 512 fsync dereg fsync
}
reflink() { xfs; workload reflink <<-'END'
		/tmp/mrload map /data/f 1024 reg 1 touch 0 1024 fsync say /tmp/said1 hear /tmp/said2 touch 0 512 fsync dereg &
		hear /tmp/said1; cp --reflink=always /data/f /data/g; xfs_io -c 'reflink /data/g 0 512K 256K' /data/f; say /tmp/said2; wait
	END
	record reflink $XFS -- sh /tmp/reflink.sh; }
direct_io() { ext4; record direct_io $EXT4 -- /tmp/mrload map /data/f 1024 reg 1 touch 0 1024 fsync read /dev/vdb 256 256 fsync dereg fsync; }
io_uring()  { ext4; record io_uring $EXT4 -- /tmp/mrload map /data/f 1024 touch 0 1024 ring ring-anon fsync sleep 50 unring; }
compaction() { ext4; workload compaction <<-'END'
		/tmp/mrload map /data/f 16384 reg 4 touch 0 16384 fsync say /tmp/said1 hear /tmp/said2 dereg &
		hear /tmp/said1; echo 1 > /proc/sys/vm/compact_memory; sleep 0.3; echo 1 > /proc/sys/vm/compact_memory; say /tmp/said2; wait
	END
	record compaction $EXT4 -- sh /tmp/compaction.sh; }
# With what the scheduler does, which tells how long the breaker waited for a CPU.
lease_answered()   { ext4; BUFFER=20000 record lease_answered $EXT4 -e sched:sched_waking -e sched:sched_switch -- /tmp/leaseload /data/f 8 6 ${REVOKE_MS:-120}; }
lease_unanswered() { ext4; echo 3 > /proc/sys/fs/lease-break-time; record lease_unanswered $EXT4 -- /tmp/leaseload /data/f 8 2 9000; echo 45 > /proc/sys/fs/lease-break-time; }
# Direct IO of 2.5 s into a DAX mapping; a hole is punched meanwhile and has to wait until the pages are let go. The end of direct IO
# does not wake the waiter (__put_devmap_managed_page_refs is not reached in 6.1.192); who pins a page next and lets it go does.
dax_wait_ends() {
	ext4; dax; modprobe null_blk queue_mode=2 irqmode=2 completion_nsec=2500000000 gb=1
	workload dax_wait_ends <<-'END'
		/tmp/mrload map /dax/f 1024 touch 0 1024 say /tmp/said1 read /dev/nullb0 0 64 sleep 100 peek 0 &
		hear /tmp/said1; sleep 0.1; fallocate -p -o 0 -l 64K /dax/f; wait
	END
	record dax_wait_ends $EXT4 -- timeout 20 sh /tmp/dax_wait_ends.sh
}

# An empty kallsyms keeps a recording small: nothing here needs symbol names.
no_symbols() { : > /tmp/none; mount --bind /tmp/none /proc/kallsyms; }

# Recorded by `replay record` itself, which knows its probes and events without help.
replay() { PYTHONPATH=/lab/python PYTHONDONTWRITEBYTECODE=1 python3 -m replay "$@"; }
recording() { [ "$(cat /sys/kernel/tracing/events/replay/enable 2> /dev/null)" = 1 ] && [ "$(cat /sys/kernel/tracing/tracing_on)" = 1 ]; }
record_rdma() { ext4; replay record -o /out/record_rdma.dat -- /tmp/pinload /data/f 4 2 3 4; }
record_perf() { ext4; replay record --recorder perf -o /out/record_perf.perf.data -- /tmp/pinload /data/f 2 2 3 2; }
# A process that has mapped the file and registered it before, and registers it again meanwhile.
record_running() {
	no_symbols; ext4; workload record_running <<-'END'
		/tmp/mrload map /data/f 1024 reg 2 say /tmp/said1 hear /tmp/said2 reg 2 touch 0 256 fsync sleep 50 dereg fsync
	END
	sh /tmp/record_running.sh & workload=$!
	while [ ! -e /tmp/said1 ]; do sleep 0.1; done
	(until recording; do sleep 0.1; done; sleep 3; : > /tmp/said2) &
	replay record -a -d 10 -o /out/record-running.dat; wait $workload
}
# Signals leave no probe behind; what SIGKILL leaves, the next start removes. Only then is there a recording.
record_killed() {
	ext4
	for signal in INT TERM KILL; do
		replay record -a -o /tmp/killed.dat & recorder=$!
		until recording; do sleep 0.1; done; sleep 2
		kill -$signal $(pgrep -f 'replay record'); wait $recorder; echo "SIG$signal: status $?"
		probes=$(grep -c :replay/ /sys/kernel/tracing/dynamic_events); echo "SIG$signal: $probes probes left"
		[ $signal = KILL ] || [ $probes = 0 ] || return
	done
	replay record -o /out/record_killed.dat -- /tmp/mrload map /data/f 256 reg 1 touch 0 64 fsync dereg
}

# Direct IO pins pages of mapped files (Linux 6.3 and later: see KERNEL in vm.sh), from a device that takes 0.4 s, while the file is
# synced and a hole punched; then io_uring's registered buffer over anonymous memory.
slow_reads() {
	modprobe null_blk queue_mode=2 irqmode=2 completion_nsec=400000000 gb=1
	workload $1 <<-'END'
		/tmp/mrload map /data/f 1024 touch 0 1024 fsync say /tmp/said1 read /dev/nullb0 0 256 fsync ring-anon sleep 20 unring &
		hear /tmp/said1; /tmp/mrload map /data/f 1024 read /dev/nullb0 128 256 fsync &
		hear /tmp/said1; sleep 0.15; sync -d /data/f; fallocate -p -o 320K -l 16K /data/f; wait; sync -d /data/f
	END
	replay record -o /out/$1.dat -- sh /tmp/$1.sh
}
record_direct_io() { no_symbols; ext4; slow_reads record_direct_io; }
record_direct_io_xfs() {
	no_symbols; xfs; dd if=/dev/zero of=/data/f bs=1M count=1; sync; echo 3 > /proc/sys/vm/drop_caches; cat /data/f > /dev/null
	slow_reads record_direct_io_xfs
}

# The recordings that this project ships, besides record_running.
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
# What becomes of registered pages: a fork, a killed owner, two owners of one file, a hole that is filled again.
lives() {
	no_symbols; ext4; workload lives <<-'END'
		/tmp/mrload map /data/fork 256 reg 2 fork 100 touch 0 64 fsync wait touch 0 64 fsync dereg
		/tmp/mrload map /data/kill 256 reg 2 touch 0 128 fsync sleep 50 kill
		/tmp/mrload map /data/two 256 reg 2 touch 0 256 say /tmp/said1 hear /tmp/said3 fsync sleep 200 dereg &
		hear /tmp/said1
		/tmp/mrload map /data/two 256 reg 1 touch 0 256 say /tmp/said2 hear /tmp/said3 sleep 50 fsync dereg &
		hear /tmp/said2; fallocate -p -o 64K -l 64K /data/two; say /tmp/said3; wait
		/tmp/mrload map /data/hole 256 reg 1 touch 0 256 fsync say /tmp/said4 hear /tmp/said5 touch 64 64 fsync sleep 100 dereg fsync &
		hear /tmp/said4; fallocate -p -o 64K -l 64K /data/hole; say /tmp/said5; wait
	END
	record lives $EXT4 -- sh /tmp/lives.sh
}
# XFS: folios of many pages, whose pins the reference count does not tell, and a shared extent under pins.
xfs_folios() {
	no_symbols; xfs; dd if=/dev/zero of=/data/f bs=1M count=2; sync; echo 3 > /proc/sys/vm/drop_caches; cat /data/f > /dev/null
	workload xfs_folios <<-'END'
		/tmp/mrload map /data/f 2048 reg 2 touch 0 1024 fsync say /tmp/said1 hear /tmp/said2 touch 512 512 fsync dereg fsync &
		hear /tmp/said1; cp --reflink=always /data/f /data/g; xfs_io -c 'reflink /data/g 0 512K 256K' /data/f; say /tmp/said2; wait
	END
	record xfs_folios $XFS -- sh /tmp/xfs_folios.sh
}
