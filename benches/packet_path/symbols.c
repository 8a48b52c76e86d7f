/* A plugin of qemu-user: instructions executed inside one function, by the function that they are of. Arguments: `out`,
 * the file to write at the end, one function a line; `counted`, part of the name of the function inside which to count.
 * Declares what it uses of qemu-plugin.h, which Debian does not ship; API version 1, as QEMU 7.2 has it. */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct qemu_plugin_tb;
struct qemu_plugin_insn;
typedef uint64_t qemu_plugin_id_t;
enum { QEMU_PLUGIN_CB_NO_REGS };

size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
const char *qemu_plugin_insn_symbol(const struct qemu_plugin_insn *);
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t, void (*)(qemu_plugin_id_t, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *, void (*)(unsigned, void *), int, void *);
void qemu_plugin_register_atexit_cb(qemu_plugin_id_t, void (*)(qemu_plugin_id_t, void *), void *);

int qemu_plugin_version = 1;

struct symbol {
    struct symbol *next;
    char *name;
    int starts; /* it is the function to count */
};
static struct symbol *symbols;

/* A block of code: qemu jumps into it at its start only, and it lies in one function. */
struct block {
    struct block *next;
    struct symbol *symbol;
    uint64_t instructions, runs;
};
static struct block *blocks;
static FILE *out;
static const char *counted;
/* The function that ran last; and, inside the counted one, who called it. */
static struct symbol *last, *caller;

static struct symbol *symbol_of(const char *name)
{
    struct symbol *symbol = symbols;
    while (symbol && strcmp(symbol->name, name) != 0)
        symbol = symbol->next;
    if (!symbol) {
        symbol = calloc(1, sizeof *symbol);
        symbol->name = strdup(name);
        symbol->starts = strstr(name, counted) != 0;
        symbol->next = symbols;
        symbols = symbol;
    }
    return symbol;
}

static void run(unsigned cpu, void *data)
{
    struct block *block = data;
    if (block->symbol == caller)
        caller = 0;
    else if (block->symbol->starts && !caller)
        caller = last;
    if (caller)
        block->runs++;
    last = block->symbol;
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    struct block *block = calloc(1, sizeof *block);
    const char *name = qemu_plugin_insn_symbol(qemu_plugin_tb_get_insn(tb, 0));
    block->symbol = symbol_of(name ? name : "?");
    block->instructions = qemu_plugin_tb_n_insns(tb);
    block->next = blocks;
    blocks = block;
    qemu_plugin_register_vcpu_tb_exec_cb(tb, run, QEMU_PLUGIN_CB_NO_REGS, block);
}

static void ended(qemu_plugin_id_t id, void *data)
{
    for (struct block *block = blocks; block; block = block->next)
        fprintf(out, "%" PRIu64 " %s\n", block->instructions * block->runs, block->symbol->name);
    fclose(out);
}

int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int count, char **arguments)
{
    if (count != 2 || strncmp(arguments[0], "out=", 4) != 0 || strncmp(arguments[1], "counted=", 8) != 0)
        return -1;
    counted = strdup(arguments[1] + 8);
    out = fopen(arguments[0] + 4, "w");
    if (!out)
        return -1;
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_atexit_cb(id, ended, 0);
    return 0;
}
