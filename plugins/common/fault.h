/* Why something failed: one of RAGIFY_E_… and a sentence for a person.
 *
 * Functions that can fail take a RagifyFault and return false, or NULL, after they have filled it. */
#ifndef RAGIFY_FAULT_H
#define RAGIFY_FAULT_H

#include <ragify/base.h>

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct RagifyFault {
  int32_t code; /* RAGIFY_E_… */
  char message[600];
} RagifyFault;

/* Fills it and returns false, so that a failing function can end with `return ragify_fault_set (…)`. */
bool
ragify_fault_set (RagifyFault *fault, int32_t code, const char *format, ...) __attribute__ ((format (printf, 3, 4)));

/* The same for exhausted memory. */
bool ragify_fault_memory (RagifyFault *fault);

#ifdef __cplusplus
}
#endif
#endif
