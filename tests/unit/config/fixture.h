/* What the configuration's tests share. SPDX-License-Identifier: MIT */
#ifndef RAGIFY_TESTS_UNIT_CONFIG_FIXTURE_H
#define RAGIFY_TESTS_UNIT_CONFIG_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/config/components.h"

/* A new folder in the machine's temporary one; fixture_folder_free removes it with everything in it. */
char *fixture_folder_new (void);
void fixture_folder_free (char *folder);

/* Writes a file below the folder; folders on the way are made. */
void fixture_write (const char *folder, const char *name, const char *text);

/* Loads one text as a file, against the components of tests/config. NULL when it is refused. `*problems` (may be NULL)
 * becomes the diagnostics' text without the file's folder, to be freed. */
RagifyConfig *fixture_load (const char *text, char **problems);

/* The same with further settings in `input`, whose paths are used as they are. */
RagifyConfig *fixture_load_input (const RagifyConfigInput *input, char **problems);

/* A configuration that must be sound. */
RagifyConfig *fixture_load_sound (const char *text);

#define FIXTURE_HTTP "[http api]\nlisten = 127.0.0.1:0\n"
#define FIXTURE_SOURCE "[source s]\nplugin = files\nroot = /srv\n"
#define FIXTURE_PIPELINE "[pipeline default]\nretrieve = s\n"
#define FIXTURE_BASE FIXTURE_HTTP FIXTURE_SOURCE FIXTURE_PIPELINE

#endif
