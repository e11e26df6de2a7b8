/* A measured run in words or as JSON, on standard output. */
#pragma once

#include "bench-options.h"

void
ragify_load_report_print (const RagifyBenchLoad *load, const char *what, const RagifyBenchMeasurement *measurement);
void ragify_load_report_print_json (const RagifyBenchLoad *load, const char *what,
                                    const RagifyBenchMeasurement *measurement);

/* 0 when every request was answered with 2xx, otherwise 1. */
int ragify_load_report_exit_code (const RagifyBenchMeasurement *measurement);
