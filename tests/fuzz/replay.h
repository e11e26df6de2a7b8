/* The main program of fuzz targets that run without libFuzzer: seeds, and mutations of them.
 *
 * SPDX-License-Identifier: MIT
 *
 *     TARGET-replay ROUNDS FILE…
 *
 * Runs the target on each file and on ROUNDS mutations of it, always the same ones; TAP, a line a file. With clang's
 * libFuzzer (meson's option `fuzzers`) the same target is led by what it covers, for as long as one likes.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

/* Ends the process, as a finding, where `holds` is false. */
void fuzz_require (int holds, const char *what);
