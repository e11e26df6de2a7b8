/* The conformance kit: cases that hold a plugin against the contract of the plugin ABI.
 *
 * SPDX-License-Identifier: MIT
 *
 * A case is a function that is given a subject, the component to be tested, in a process and a state folder of its own.
 * It says with `expect` what it found against the contract, and with `skip` why it does not apply. What the test host
 * notices by itself (a second completion, a buffer too many, a foreign thread) is added when the case is over.
 */
#pragma once

#include <kit.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct Case Case;

typedef struct Subject {
  const char *path;          /* of the module */
  const char *const *config; /* of the component: "key=value", ended by NULL */
  const char *sample;        /* a file for extractors; NULL: plain text */
  const char *folder;        /* empty, of this case alone */
  bool verbose;
  RagifyKit *kit;
  const RagifyPlugin *plugin;
  const RagifyComponent *component;
  int report;     /* where findings go */
  unsigned found; /* so far */
  bool skipped;
} Subject;

struct Case {
  const char *name;     /* what holds, in a few words */
  const char *contract; /* what the contract wants, in one sentence */
  void (*run) (Subject *subject);
  const char *kind; /* RAGIFY_KIND_…; NULL: of any component */
};

/* What runs before a case, in a process of its own that is ended without stopping anything. It is started while the
 * case has no threads yet: a process that is forked beside them may inherit a lock that nobody opens. */
typedef struct Killed {
  void (*before) (Subject *subject); /* a case's `run` */
  void (*run) (Subject *subject);
} Killed;

extern const Killed conformance_killed_parts[]; /* ended by NULLs */

/* Ended by one without a name. */
extern const Case conformance_module_cases[]; /* once for a module: `component` is NULL */
extern const Case conformance_schema_cases[];
extern const Case conformance_life_cases[];
extern const Case conformance_call_cases[];
extern const Case conformance_source_cases[];
extern const Case conformance_cache_cases[];
extern const Case conformance_store_cases[];
extern const Case conformance_text_cases[];
extern const Case conformance_model_cases[]; /* embedders and rerankers */
extern const Case conformance_extractor_cases[];

/* Says what was found instead; the first ones are kept. Returns `holds`. */
bool expect (Subject *subject, bool holds, const char *format, ...) __attribute__ ((format (printf, 3, 4)));
/* The case does not apply. */
void skip (Subject *subject, const char *reason);

/* ---- subject.c: instances and calls ---- */

/* Opens an instance, started, with the subject's configuration; NULL after saying why. */
RagifyKitInstance *subject_open (Subject *subject);
/* Stops and destroys it; its stop has to succeed. NULL is allowed. */
void subject_close (Subject *subject, RagifyKitInstance *instance);
/* As subject_open in another test host, so that nothing is shared. */
RagifyKit *subject_kit_new (const Subject *subject, const char *folder, uint32_t credit, uint64_t call_memory);
RagifyKitInstance *subject_open_in (Subject *subject, RagifyKit *kit);
/* Says what a test host noticed, and frees it. */
void subject_kit_free (Subject *subject, RagifyKit *kit);

/* What stores of this kit are started with: 8 dimensions. */
const RagifyEmbedderInfo *subject_embedder (void);
/* The same where the subject is a store; NULL of other kinds. */
const RagifyEmbedderInfo *subject_embedder_of (const Subject *subject);

/* True when the call ended as the contract has it: with RAGIFY_OK, or with a known code and a message that is UTF-8.
 * Otherwise says so. */
bool subject_well_ended (Subject *subject, const RagifyKitCall *call, const char *what);
/* Well ended, and with RAGIFY_OK. */
bool subject_succeeded (Subject *subject, const RagifyKitCall *call, const char *what);
/* Well ended, and with `code`. */
bool subject_failed_with (Subject *subject, const RagifyKitCall *call, int32_t code, const char *what);

/* A cheap call that every component of the kind answers; `variation` makes it another one. `timeout_us`: 0: none. What
 * it needs is freed with subject_sample_end, which also frees the call. */
typedef struct Sample Sample;
Sample *subject_sample_begin (RagifyKitInstance *instance, unsigned variation, uint64_t timeout_us);
RagifyKitCall *subject_sample_call (const Sample *sample);
void subject_sample_end (Sample *sample);

/* ---- text.c ---- */

bool text_is_utf8 (RagifyStr text);
/* Empty, or one JSON object. */
bool text_is_json_object (RagifyStr text);
/* Memory of exactly that size, so that a sanitizer sees who reads past its end; freed with free(). */
RagifyStr text_exact (const char *text);
/* What users and attackers write, each a text that queries and documents must survive; ended by one without data. */
extern const RagifyStr text_naughty[];

/* ---- elf.c ---- */

/* Names of the symbols that a module exports, ended by NULL, freed as one block with free(); NULL when it is no ELF
 * file of this machine's word size. */
char **elf_exported (const char *path);
/* The first library that the module needs whose name begins with `prefix`; NULL when none does. Freed with free(). */
char *elf_needed (const char *path, const char *prefix);
