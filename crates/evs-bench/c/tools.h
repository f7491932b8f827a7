/* What the bench's C programs share: clock, words of the command line, times and percentiles. */
#ifndef EVS_BENCH_TOOLS_H
#define EVS_BENCH_TOOLS_H

#include <stddef.h>
#include <stdint.h>

/* The monotonic clock, in nanoseconds: the same for all processes of the machine. */
uint64_t now_ns(void);

/* The value of `name=value` among the arguments; a missing one ends the program. */
const char *word(int argc, char **argv, const char *name);
uint64_t number(int argc, char **argv, const char *name);

/* Prints one line of JSON and hands it over at once. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* As say, {"broken": ...}; then ends the program. */
void broken(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* Times in nanoseconds, up to a fixed number of them. */
void times_add(uint64_t ns);
/* Prints `"samples":…,"p50_us":…,"p99_us":…,"p999_us":…` into a text. */
void times_print(char *text, size_t room);

#endif
