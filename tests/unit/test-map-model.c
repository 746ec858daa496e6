/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The memory map against a model of it: page by page, which section lies
 * there, and for each device the set of all sections that it may still use.
 * A section has to be released when it was committed, is not in the map, and
 * is in no such set: then, at once, and once.
 */
#include "check.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "map-rig.h"
#include "mem-model.h"

#define PAGES 48
#define IDS 400
#define DEVICES 3
#define RUNS 150
#define STEPS 300

struct model {
    int current[PAGES]; /* id, 0: nothing */
    int draft[PAGES];
    struct vhost_memory_section sections[IDS];
    bool in_draft_before[IDS]; /* added or removed by this transaction */
    bool committed[IDS];
    int n_ids;
    int attached[DEVICES]; /* the step in which it was; 0: it is not */
    bool holds[DEVICES][IDS];
};

struct run {
    struct vhost_memory_map *map;
    struct rig_device devices[DEVICES];
    int released[IDS];
    struct model m;
};

static bool is_in(const int *pages, int id)
{
    for (int i = 0; i < PAGES; i++) {
        if (pages[i] == id) {
            return true;
        }
    }
    return false;
}

static void check_releases(const struct run *r)
{
    for (int id = 1; id <= r->m.n_ids; id++) {
        bool held = is_in(r->m.current, id);

        for (int d = 0; d < DEVICES; d++) {
            held |= r->m.attached[d] && r->m.holds[d][id];
        }
        MODEL_CHECK(r->released[id] == (r->m.committed[id] && !held));
    }
}

static void check_translations(const struct run *r)
{
    unsigned page = model_random(PAGES);
    unsigned len = 1 + model_random(4);
    int id = r->m.current[page];
    const struct vhost_memory_section *s = &r->m.sections[id];
    char *expected = NULL;

    if (id && page * PAGE + len * PAGE <= s->gpa + s->size) {
        expected = (char *)s->hva + (page * PAGE - s->gpa);
    }
    MODEL_CHECK(vhost_memory_translate(r->map, page * PAGE, len * PAGE) ==
                expected);
}

static void hold_current(struct run *r, int d, bool instead)
{
    if (instead) {
        memset(r->m.holds[d], 0, sizeof(r->m.holds[d]));
    }
    for (int i = 0; i < PAGES; i++) {
        r->m.holds[d][r->m.current[i]] = true;
    }
}

static void check_seen(const struct run *r, const struct rig_device *d)
{
    size_t n = 0;

    for (int i = 0; i < PAGES; i++) {
        int id = r->m.current[i];

        if (id && (i == 0 || r->m.current[i - 1] != id)) {
            MODEL_CHECK(n < d->n && d->seen[n].opaque == &r->released[id]);
            n++;
        }
    }
    MODEL_CHECK(n == d->n);
}

static void step_add(struct run *r)
{
    unsigned first = model_random(PAGES);
    unsigned len = 1 + model_random(6);
    struct vhost_memory_section s;
    bool taken = false;
    int id = 0;

    /* Now and then one that this transaction has removed, just as it was. */
    for (int i = 1; i <= r->m.n_ids && model_random(2); i++) {
        if (r->m.in_draft_before[i] && !is_in(r->m.draft, i)) {
            id = i;
        }
    }
    if (!id && r->m.n_ids == IDS - 1) {
        return;
    }
    len = first + len > PAGES ? PAGES - first : len;
    s = id ? r->m.sections[id]
           : rig_section(first * PAGE, len * PAGE,
                         HVA(0x100000 + model_random(64) * PAGE),
                         &r->released[r->m.n_ids + 1]);
    for (uint64_t i = s.gpa / PAGE; i < (s.gpa + s.size) / PAGE; i++) {
        taken |= r->m.draft[i] != 0;
    }
    MODEL_CHECK(vhost_memory_add(r->map, &s) == (taken ? -EEXIST : 0));
    if (taken) {
        return;
    }
    id = id ? id : ++r->m.n_ids;
    r->m.sections[id] = s;
    r->m.in_draft_before[id] = true;
    for (uint64_t i = s.gpa / PAGE; i < (s.gpa + s.size) / PAGE; i++) {
        r->m.draft[i] = id;
    }
}

static void step_remove(struct run *r)
{
    int id = r->m.draft[model_random(PAGES)];
    const struct vhost_memory_section *s = &r->m.sections[id];

    if (id == 0) {
        MODEL_CHECK(vhost_memory_remove(r->map, PAGES * PAGE, PAGE) == -ENOENT);
        return;
    }
    MODEL_CHECK(vhost_memory_remove(r->map, s->gpa, s->size + 1) == -ENOENT);
    MODEL_CHECK(vhost_memory_remove(r->map, s->gpa, s->size) == 0);
    r->m.in_draft_before[id] = true;
    for (int i = 0; i < PAGES; i++) {
        r->m.draft[i] = r->m.draft[i] == id ? 0 : r->m.draft[i];
    }
}

/* Devices are asked in the order in which they were attached. */
static int first_failure(const struct run *r)
{
    int answer = 0;
    int earliest = INT_MAX;

    for (int d = 0; d < DEVICES; d++) {
        int since = r->m.attached[d];

        if (since && since < earliest && r->devices[d].answer < 0) {
            earliest = since;
            answer = r->devices[d].answer;
        }
    }
    return answer;
}

static void step_commit(struct run *r)
{
    bool changed = memcmp(r->m.current, r->m.draft, sizeof(r->m.current)) != 0;
    int before[DEVICES];
    int expected;

    for (int d = 0; d < DEVICES; d++) {
        r->devices[d].answer = model_random(4) ? 0 : -1 - d;
        before[d] = r->devices[d].commits;
    }
    expected = changed ? first_failure(r) : 0;
    MODEL_CHECK(vhost_memory_commit(r->map, NULL) == expected);
    memcpy(r->m.current, r->m.draft, sizeof(r->m.current));
    for (int id = 1; id <= r->m.n_ids; id++) {
        r->m.committed[id] |= r->m.in_draft_before[id];
    }
    for (int d = 0; d < DEVICES; d++) {
        bool told = changed && r->m.attached[d];

        MODEL_CHECK(r->devices[d].commits == before[d] + told);
        if (told) {
            check_seen(r, &r->devices[d]);
            hold_current(r, d, r->devices[d].answer == 0);
        }
    }
}

static void transaction(struct run *r)
{
    memset(r->m.in_draft_before, 0, sizeof(r->m.in_draft_before));
    memcpy(r->m.draft, r->m.current, sizeof(r->m.draft));
    vhost_memory_begin(r->map);
    for (unsigned n = model_random(6); n > 0; n--) {
        if (model_random(2)) {
            step_add(r);
        } else {
            step_remove(r);
        }
        check_translations(r);
    }
    if (model_random(5) == 0) {
        vhost_memory_abort(r->map);
    } else {
        step_commit(r);
    }
}

static void come_or_go(struct run *r, int step)
{
    unsigned d = model_random(DEVICES);

    if (r->m.attached[d]) {
        rig_detach(r->map, &r->devices[d]);
        r->m.attached[d] = 0;
        return;
    }
    /* A device at its beginning is not to fail here: others test that. */
    r->devices[d].answer = 0;
    rig_attach(r->map, &r->devices[d]);
    check_seen(r, &r->devices[d]);
    r->m.attached[d] = step;
    hold_current(r, (int)d, true);
}

static void one_run(struct run *r)
{
    r->map = vhost_memory_map_new();
    assert_non_null(r->map);
    for (int i = 1; i <= STEPS; i++) {
        if (model_random(6) == 0) {
            come_or_go(r, i);
        } else {
            transaction(r);
        }
        check_releases(r);
        check_translations(r);
    }
    for (int d = 0; d < DEVICES; d++) {
        if (r->m.attached[d]) {
            rig_detach(r->map, &r->devices[d]);
        }
    }
    vhost_memory_map_free(r->map);
    for (int id = 1; id <= r->m.n_ids; id++) {
        MODEL_CHECK(r->released[id] == r->m.committed[id]);
    }
}

static void test_random_changes_are_those_of_the_model(void **state)
{
    static struct run r;

    (void)state;
    for (unsigned run = 0; run < RUNS; run++) {
        memset(&r, 0, sizeof(r));
        model_start(run);
        one_run(&r);
        assert_true(r.m.n_ids > 20); /* or nothing was tested */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_changes_are_those_of_the_model),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
