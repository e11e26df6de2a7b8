/* Requests that the host makes of itself: answers that are renewed behind the back of who asked, and warming.
 *
 * SPDX-License-Identifier: MIT
 *
 * Whoever frees a pipeline ends them first.
 */
#pragma once

#include "core/pipeline/pipeline.h"

typedef struct RagifyBackground RagifyBackground;

/* [control] */
RagifyBackground *ragify_background_new (void);
/* Lets none begin any more, cancels what is under way and waits for it. [control] */
void ragify_background_close (RagifyBackground *background);
/* Closes it where that has not been done. [control] */
void ragify_background_free (RagifyBackground *background);

/* Begins one: `request`, whose `loop` is the current one, gets its id and the time, and is cancelled where the host
 * stops. FALSE when it stops already. [loop] */
gboolean ragify_background_begin (RagifyBackground *background, RagifyRequest *request);
/* It was answered; nothing of the background may be used afterwards. [loop] */
void ragify_background_end (RagifyBackground *background, RagifyRequest *request);
