/* The peer of ingest: libtracecmd walks every event of a trace.dat, in order of time, and nothing is done with them. */
#include <stdio.h>
#include <trace-cmd/trace-cmd.h>

static int count(struct tracecmd_input *handle, struct tep_record *record, int cpu, void *events)
{
	++*(unsigned long *)events;
	return 0;
}

int main(int argc, char **argv)
{
	unsigned long events = 0;
	struct tracecmd_input *handle = argc == 2 ? tracecmd_open(argv[1], TRACECMD_FL_LOAD_NO_PLUGINS) : NULL;

	if (!handle || tracecmd_iterate_events(handle, NULL, 0, count, &events)) {
		fprintf(stderr, "usage: walk TRACE.DAT\n");
		return 1;
	}
	tracecmd_close(handle);
	printf("%lu events\n", events);
	return 0;
}
