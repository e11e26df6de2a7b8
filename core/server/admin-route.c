/* /v1/admin/…: what an operator tells the host to do.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "core/server/admin.h"
#include "exchange.h"

/* Between the exchange and the application; ends with the application's answer. */
typedef struct Work {
  RagifyExchange *exchange; /* NULL: gone */
} Work;

static const char *const no_parameters[] = { NULL };

static gboolean
begin (RagifyExchange *exchange)
{
  return ragify_query_allow (exchange->query, no_parameters, &exchange->problem);
}

static void
replied (guint status, const char *body, gsize size, void *user)
{
  g_autofree Work *work = user;
  if (work->exchange != NULL)
    ragify_exchange_reply (work->exchange, status, status < 400 ? "application/json" : "application/problem+json",
                           g_memdup2 (body, size), size);
}

static void
finish_reload (RagifyExchange *exchange)
{
  const RagifyAdmin *admin = exchange->listener->shared->options.admin;
  if (admin == NULL) {
    ragify_exchange_refuse (exchange, 404, "Not found", NULL, "this host has nothing that could be reloaded");
    ragify_exchange_reply_problem (exchange, &exchange->problem);
    return;
  }
  Work *work = g_new0 (Work, 1);
  work->exchange = exchange;
  exchange->work = work;
  admin->reload (admin->application, exchange->listener->loop, replied, work);
}

static void
detach (RagifyExchange *exchange)
{
  Work *work = exchange->work;
  if (work != NULL)
    work->exchange = NULL;
}

const RagifyAction ragify_action_reload = {
  .access = RAGIFY_ACCESS_ADMIN, .begin = begin, .finish = finish_reload, .detach = detach
};
