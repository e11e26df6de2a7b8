/* Host names resolved without blocking the loop: one look-up per name at a time, what it found kept for a while. */
#ifndef RAGIFY_NAMES_H
#define RAGIFY_NAMES_H

#include "errands.h"

typedef struct RagifyNames RagifyNames;
typedef struct RagifyNameWait RagifyNameWait;

/* Who waits for a name. Owned by whoever embeds it, until `answer` was called or it was taken back. */
struct RagifyNameWait {
  /* `addresses` are numeric and at least one, ended by NULL and valid during the call; or NULL with an error. */
  void (*answer) (RagifyNameWait *wait, const char *const *addresses, const char *error);
  RagifyNameWait *next; /* the rest is the object's own */
  void *entry;
};

/* `errands` must outlive it. [control] */
RagifyNames *ragify_names_new (const RagifyHost *host, RagifyErrands *errands);

/* Nobody waits any more. [loop][control] */
void ragify_names_free (RagifyNames *names);

/* Asks for the addresses of `name`; `answer` may run before this returns. [loop] */
void ragify_names_ask (RagifyNames *names, const char *name, RagifyNameWait *wait);
/* Takes it back; no effect where it was answered. [loop] */
void ragify_names_forget (RagifyNames *names, RagifyNameWait *wait);

#endif
