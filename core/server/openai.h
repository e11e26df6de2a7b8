/* Between OpenAI's shapes and ours.
 *
 * SPDX-License-Identifier: MIT
 */
#pragma once

#include "core/pipeline/request.h"

/* A question out of the body of a search in the vector store `name`: of the pipeline of that name, or of the default
 * pipeline held to that one place. NULL with a problem. [any] */
RagifyRequest *
ragify_openai_question (const char *body, gsize size, const char *name, gboolean is_pipeline, RagifyProblem *problem);
/* A page of search results out of an answer; free with g_free. [any] */
char *ragify_openai_page (const char *body, gsize size, RagifyStr query, gsize *page_size);
