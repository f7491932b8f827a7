#include "tools.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* More than any run of the bench has; a run that has more keeps the first. */
#define TIMES_MAX (1 << 22)

static uint64_t *times;
static size_t times_count;

uint64_t now_ns(void)
{
    struct timespec at;

    clock_gettime(CLOCK_MONOTONIC, &at);
    return (uint64_t)at.tv_sec * 1000000000u + (uint64_t)at.tv_nsec;
}

const char *word(int argc, char **argv, const char *name)
{
    size_t length = strlen(name);
    int i;

    for (i = 1; i < argc; i++)
        if (strncmp(argv[i], name, length) == 0 && argv[i][length] == '=')
            return argv[i] + length + 1;
    broken("no argument %s=", name);
}

uint64_t number(int argc, char **argv, const char *name)
{
    const char *value = word(argc, argv, name);
    char *end;
    uint64_t parsed = strtoull(value, &end, 10);

    if (*value == 0 || *end != 0)
        broken("%s=%s is not a number", name, value);
    return parsed;
}

void say(const char *format, ...)
{
    va_list values;

    va_start(values, format);
    vprintf(format, values);
    va_end(values);
    printf("\n");
    fflush(stdout);
}

void broken(const char *format, ...)
{
    va_list values;
    char text[512];

    va_start(values, format);
    vsnprintf(text, sizeof text, format, values);
    va_end(values);
    say("{\"broken\":\"%s\"}", text);
    exit(1);
}

void times_add(uint64_t ns)
{
    if (times == NULL) {
        times = malloc(sizeof *times * TIMES_MAX);
        if (times == NULL)
            broken("no memory for the times");
    }
    if (times_count < TIMES_MAX)
        times[times_count++] = ns;
}

static int ascending(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

    return left < right ? -1 : left > right;
}

static double at_micros(double quantile)
{
    size_t index = (size_t)(quantile * (double)times_count);

    return (double)times[index < times_count ? index : times_count - 1] / 1000.0;
}

void times_print(char *text, size_t room)
{
    if (times_count == 0) {
        snprintf(text, room, "\"samples\":0");
        return;
    }
    qsort(times, times_count, sizeof *times, ascending);
    snprintf(text, room, "\"samples\":%zu,\"p50_us\":%.3f,\"p99_us\":%.3f,\"p999_us\":%.3f",
             times_count, at_micros(0.5), at_micros(0.99), at_micros(0.999));
}
