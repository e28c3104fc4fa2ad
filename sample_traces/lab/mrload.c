// A file mapping, its memory regions and what happens to them, step by step: each argument is a step, run in order.
//
//   map FILE KB      create FILE with that many KiB (if it is shorter) and map it shared
//   reg N            register the mapping as N writable memory regions        dereg            release them
//   touch KB KB      store into every page of the range (offset, length)      fsync            of the file
//   read FILE KB KB  direct IO from FILE into a range of the mapping          ring / unring    register and unregister it as io_uring buffer
//   ring-anon        register anonymous memory as io_uring buffer             sleep MS
//   peek KB          pin the page at that offset for a moment, as process_vm_readv does
//   fork MS          a child that stores into the whole mapping and lives for that long; the parent goes on
//   wait             for children          kill       SIGKILL to itself, with whatever is still registered
//   say FILE         create FILE, for others to wait for     hear FILE  wait until FILE is there
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <infiniband/verbs.h>
#include <linux/io_uring.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int fd = -1, ring = -1, regions;
static char *mapping;
static size_t length;
static struct ibv_pd *pd;
static struct ibv_mr *region[64];

static void fail(const char *what) { perror(what); exit(1); }

static void nap(long ms)
{
	struct timespec t = {ms / 1000, ms % 1000 * 1000000};
	nanosleep(&t, NULL);
}

static void map(const char *path, size_t kb)
{
	length = kb << 10;
	fd = open(path, O_RDWR | O_CREAT, 0644);
	if (fd < 0 || (lseek(fd, 0, SEEK_END) < (off_t)length && fallocate(fd, 0, 0, length)))
		fail(path);
	mapping = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (mapping == MAP_FAILED)
		fail("mmap");
}

static void reg(int n)
{
	int found;
	struct ibv_device **devices = ibv_get_device_list(&found);
	if (!pd && !(found && (pd = ibv_alloc_pd(ibv_open_device(devices[0])))))
		fail("no RDMA device");
	for (int i = 0; i < n && regions < 64; i++) {
		region[regions] = ibv_reg_mr(pd, mapping + i * (length / n), length / n, IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE);
		if (region[regions])
			regions++;
		else
			printf("reg_mr: %s\n", strerror(errno));
	}
}

static void dereg(void)
{
	while (regions > 0)
		ibv_dereg_mr(region[--regions]);
}

static void touch(size_t offset_kb, size_t kb)
{
	static char value;
	value++;
	for (size_t at = offset_kb << 10; at < (offset_kb + kb) << 10; at += 4096)
		mapping[at] = value;
}

static void direct_read(const char *path, size_t offset_kb, size_t kb)
{
	int from = open(path, O_RDONLY | O_DIRECT);
	ssize_t got = from < 0 ? -1 : pread(from, mapping + (offset_kb << 10), kb << 10, 0);
	printf("direct read: %zd%s%s\n", got, got < 0 ? " " : "", got < 0 ? strerror(errno) : "");
	close(from);
}

static void peek(size_t offset_kb)
{
	static char page[4096];
	struct iovec here = {page, sizeof(page)}, there = {mapping + (offset_kb << 10), sizeof(page)};
	if (process_vm_readv(getpid(), &here, 1, &there, 1, 0) < 0)
		perror("process_vm_readv");
}

static void ring_register(void *memory, size_t size)
{
	struct io_uring_params params = {0};
	struct iovec buffer = {memory, size};
	if (ring < 0 && (ring = syscall(SYS_io_uring_setup, 4, &params)) < 0)
		fail("io_uring_setup");
	long result = syscall(SYS_io_uring_register, ring, IORING_REGISTER_BUFFERS, &buffer, 1);
	printf("ring: %s\n", result ? strerror(errno) : "registered");
}

static void fork_child(long ms)
{
	pid_t child = fork();
	if (child < 0)
		fail("fork");
	if (child == 0) {
		touch(0, length >> 10);
		nap(ms);
		_exit(0);
	}
}

int main(int, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (char **step = argv + 1; *step; step++) {
#define STEP(name) (strcmp(*step, name) == 0)
#define NEXT (step[1] ? *++step : (fprintf(stderr, "%s: what?\n", *step), exit(2), ""))
		if (STEP("map")) {
			const char *path = NEXT;
			map(path, atol(NEXT));
		} else if (STEP("say")) {
			close(open(NEXT, O_CREAT | O_WRONLY, 0644));
		} else if (STEP("hear")) {
			for (const char *path = NEXT; access(path, F_OK);)
				nap(5);
		} else if (STEP("reg")) {
			reg(atoi(NEXT));
		} else if (STEP("dereg")) {
			dereg();
		} else if (STEP("touch")) {
			size_t offset = atol(NEXT);
			touch(offset, atol(NEXT));
		} else if (STEP("fsync")) {
			if (fsync(fd))
				perror("fsync");
		} else if (STEP("read")) {
			const char *path = NEXT;
			size_t offset = atol(NEXT);
			direct_read(path, offset, atol(NEXT));
		} else if (STEP("peek")) {
			peek(atol(NEXT));
		} else if (STEP("ring")) {
			ring_register(mapping, length);
		} else if (STEP("ring-anon")) {
			ring_register(mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 1 << 20);
		} else if (STEP("unring")) {
			if (syscall(SYS_io_uring_register, ring, IORING_UNREGISTER_BUFFERS, NULL, 0))
				perror("unregister");
		} else if (STEP("sleep")) {
			nap(atol(NEXT));
		} else if (STEP("fork")) {
			fork_child(atol(NEXT));
		} else if (STEP("wait")) {
			while (wait(NULL) > 0)
				;
		} else if (STEP("kill")) {
			raise(SIGKILL);
		} else {
			fprintf(stderr, "unknown step %s\n", *step);
			return 2;
		}
	}
	return 0;
}
