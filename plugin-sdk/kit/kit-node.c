/* SPDX-License-Identifier: MIT */
#include "kit-private.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct RagifyQuota {
  RagifyQuota *next;
  char *name;
  uint64_t limit;
  pthread_mutex_t lock;
  uint64_t in_use;
  struct Waiter *waiters;
};

typedef struct Waiter {
  struct Waiter *next;
  KitLoop *loop;
  uint64_t amount;
  void (*available) (void *user);
  void *user;
} Waiter;

struct RagifyMetric {
  RagifyMetric *next;
  char *name;
  uint32_t type;
  KitNodeState *node;
  double value; /* histograms: the sum of what was observed */
};

struct KitNodeState {
  KitNodeState *next;
  RagifyKit *kit;
  char *name;
  RagifyQuota *quotas;
  RagifyMetric *metrics;
  pthread_mutex_t lock; /* guards the metrics' values */
};

KitNodeState *
kit_node_get (RagifyKit *kit, const char *name)
{
  for (KitNodeState *node = kit->nodes; node != NULL; node = node->next) {
    if (strcmp (node->name, name) == 0)
      return node;
  }
  KitNodeState *node = kit_alloc (sizeof *node);
  node->kit = kit;
  node->name = kit_copy (name);
  pthread_mutex_init (&node->lock, NULL);
  node->next = kit->nodes;
  kit->nodes = node;
  return node;
}

static void
node_free (KitNodeState *node)
{
  while (node->quotas != NULL) {
    RagifyQuota *quota = node->quotas;
    node->quotas = quota->next;
    while (quota->waiters != NULL) {
      Waiter *waiter = quota->waiters;
      quota->waiters = waiter->next;
      free (waiter);
    }
    if (quota->in_use > 0)
      kit_fault (node->kit, "quota '%s' of node '%s': %llu never released", quota->name, node->name,
                 (unsigned long long)quota->in_use);
    pthread_mutex_destroy (&quota->lock);
    free (quota->name);
    free (quota);
  }
  while (node->metrics != NULL) {
    RagifyMetric *metric = node->metrics;
    node->metrics = metric->next;
    free (metric->name);
    free (metric);
  }
  pthread_mutex_destroy (&node->lock);
  free (node->name);
  free (node);
}

void
kit_nodes_free (RagifyKit *kit)
{
  while (kit->nodes != NULL) {
    KitNodeState *node = kit->nodes;
    kit->nodes = node->next;
    node_free (node);
  }
}

static RagifyQuota *
quota_open (RagifyContext *context, const char *name, uint64_t limit)
{
  KitNodeState *node = context->node;
  for (RagifyQuota *quota = node->quotas; quota != NULL; quota = quota->next) {
    if (strcmp (quota->name, name) == 0)
      return quota;
  }
  RagifyQuota *quota = kit_alloc (sizeof *quota);
  quota->name = kit_copy (name);
  quota->limit = limit;
  pthread_mutex_init (&quota->lock, NULL);
  quota->next = node->quotas;
  node->quotas = quota;
  return quota;
}

static uint32_t
quota_try_acquire (RagifyQuota *quota, uint64_t amount)
{
  pthread_mutex_lock (&quota->lock);
  const bool fits = amount <= quota->limit && quota->in_use <= quota->limit - amount;
  if (fits)
    quota->in_use += amount;
  pthread_mutex_unlock (&quota->lock);
  return fits;
}

/* Tells all for whom there is enough. With the lock held. */
static void
quota_tell (RagifyQuota *quota)
{
  const uint64_t room = quota->limit > quota->in_use ? quota->limit - quota->in_use : 0;
  for (Waiter **place = &quota->waiters; *place != NULL;) {
    Waiter *waiter = *place;
    if (waiter->amount > room) {
      place = &waiter->next;
      continue;
    }
    *place = waiter->next;
    kit_loop_invoke (waiter->loop, waiter->available, waiter->user);
    free (waiter);
  }
}

static void
quota_release (RagifyQuota *quota, uint64_t amount)
{
  pthread_mutex_lock (&quota->lock);
  quota->in_use -= amount <= quota->in_use ? amount : quota->in_use;
  quota_tell (quota);
  pthread_mutex_unlock (&quota->lock);
}

static uint64_t
quota_in_use (RagifyQuota *quota)
{
  pthread_mutex_lock (&quota->lock);
  const uint64_t in_use = quota->in_use;
  pthread_mutex_unlock (&quota->lock);
  return in_use;
}

/* With the lock held. */
static void
quota_forget (RagifyQuota *quota, const KitLoop *loop, const void *user)
{
  for (Waiter **place = &quota->waiters; *place != NULL;) {
    Waiter *waiter = *place;
    if (waiter->loop != loop || waiter->user != user) {
      place = &waiter->next;
      continue;
    }
    *place = waiter->next;
    free (waiter);
  }
}

static void
quota_notify_release (RagifyContext *context, RagifyQuota *quota, uint64_t amount, void (*available) (void *user),
                      void *user)
{
  if (context->loop == NULL || context->loop != kit_thread_loop ()) {
    kit_fault (context->kit, "%s: notify_release was not called on the instance's loop", context->component->name);
    return;
  }
  pthread_mutex_lock (&quota->lock);
  if (available != NULL) {
    Waiter **last = &quota->waiters;
    while (*last != NULL)
      last = &(*last)->next;
    *last = kit_alloc (sizeof **last);
    **last = (Waiter){ .loop = context->loop, .amount = amount, .available = available, .user = user };
    quota_tell (quota); /* something may have been released since the caller tried */
  } else {
    quota_forget (quota, context->loop, user);
  }
  pthread_mutex_unlock (&quota->lock);
}

const RagifyQuotaExtension kit_quota_extension = {
  .struct_size = sizeof (RagifyQuotaExtension),
  .open = quota_open,
  .try_acquire = quota_try_acquire,
  .release = quota_release,
  .in_use = quota_in_use,
  .notify_release = quota_notify_release,
};

static RagifyMetric *
find_metric (KitNodeState *node, const char *name)
{
  for (RagifyMetric *metric = node->metrics; metric != NULL; metric = metric->next) {
    if (strcmp (metric->name, name) == 0)
      return metric;
  }
  return NULL;
}

static RagifyMetric *
metric_new (RagifyContext *context, uint32_t type, const char *name, const char *help)
{
  (void)help;
  KitNodeState *node = context->node;
  if (name[0] == '\0' || name[strspn (name, "abcdefghijklmnopqrstuvwxyz_")] != '\0' || type < RAGIFY_METRIC_COUNTER ||
      type > RAGIFY_METRIC_HISTOGRAM)
    kit_fault (context->kit, "%s: metric_new: type %u or name '%s' is not valid", context->component->name, type, name);
  RagifyMetric *metric = find_metric (node, name);
  if (metric != NULL) {
    if (metric->type != type)
      kit_fault (context->kit, "%s: metric '%s' is registered with two types", context->component->name, name);
    return metric;
  }
  metric = kit_alloc (sizeof *metric);
  metric->name = kit_copy (name);
  metric->type = type;
  metric->node = node;
  metric->next = node->metrics;
  node->metrics = metric;
  return metric;
}

static void
metric_add (RagifyMetric *metric, double amount)
{
  pthread_mutex_lock (&metric->node->lock);
  metric->value += amount;
  pthread_mutex_unlock (&metric->node->lock);
  if (metric->type == RAGIFY_METRIC_HISTOGRAM || (metric->type == RAGIFY_METRIC_COUNTER && !(amount >= 0)))
    kit_fault (metric->node->kit, "metric '%s': add (%g) does not suit its type", metric->name, amount);
}

static void
metric_set (RagifyMetric *metric, double value)
{
  pthread_mutex_lock (&metric->node->lock);
  metric->value = value;
  pthread_mutex_unlock (&metric->node->lock);
  if (metric->type != RAGIFY_METRIC_GAUGE)
    kit_fault (metric->node->kit, "metric '%s': set on what is not a gauge", metric->name);
}

static void
metric_observe (RagifyMetric *metric, double value)
{
  pthread_mutex_lock (&metric->node->lock);
  metric->value += value;
  pthread_mutex_unlock (&metric->node->lock);
  if (metric->type != RAGIFY_METRIC_HISTOGRAM)
    kit_fault (metric->node->kit, "metric '%s': observe on what is not a histogram", metric->name);
}

const RagifyMetricsExtension kit_metrics_extension = {
  .struct_size = sizeof (RagifyMetricsExtension),
  .metric_new = metric_new,
  .add = metric_add,
  .set = metric_set,
  .observe = metric_observe,
};

double
ragify_kit_metric (RagifyKitInstance *instance, const char *name)
{
  KitNodeState *node = instance->context.node;
  const RagifyMetric *metric = find_metric (node, name);
  if (metric == NULL)
    return NAN;
  pthread_mutex_lock (&node->lock);
  const double value = metric->value;
  pthread_mutex_unlock (&node->lock);
  return value;
}

static RagifyBuffer *
secrets_read (RagifyContext *context, RagifyStr name)
{
  (void)context;
  const char *directory = getenv ("CREDENTIALS_DIRECTORY");
  char path[4096];
  if (directory == NULL || name.size == 0 || name.size > 255 || memchr (name.data, '/', name.size) != NULL ||
      snprintf (path, sizeof path, "%s/%.*s", directory, (int)name.size, name.data) >= (int)sizeof path)
    return NULL;
  const int fd = open (path, O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return NULL;
  uint8_t text[65536];
  const ssize_t size = read (fd, text, sizeof text);
  close (fd);
  return size >= 0 ? ragify_kit_buffer_new (text, (uint64_t)size) : NULL;
}

const RagifySecretsExtension kit_secrets_extension = {
  .struct_size = sizeof (RagifySecretsExtension),
  .read = secrets_read,
};
