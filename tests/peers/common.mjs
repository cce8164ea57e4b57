// What the Node drivers share: the command line, the steps and the one JSON document they print.
//
// Usage: node client_vN.mjs [--era legacy|modern|auto] [--url URL] [-- COMMAND ARGS...] < steps.json
// CHIO_PEERS names the folder whose node_modules holds the SDKs (default /tmp/peers).
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';

const STEP_LIMIT = 30_000; // milliseconds for one step, and for connecting
const WHOLE_LIMIT = 240_000; // for everything; the steps not reached are then reported as errors
const CLOSE_LIMIT = 8_000;

// The SDKs may use console.debug; standard output is for the document alone.
for (const name of ['log', 'info', 'debug', 'warn']) console[name] = console.error;

/** Loads a module of CHIO_PEERS/node_modules. */
export const peer = createRequire(`${process.env.CHIO_PEERS || '/tmp/peers'}/package.json`);

export const INFO = { name: 'chio-peer', version: '1.0.0' };
export const CAPABILITIES = { sampling: {}, elicitation: { form: {}, url: {} }, roots: { listChanged: true } };

/** How the drivers answer what a server asks of its client. */
export const answers = {
    sampling: () => ({ model: 'peer', role: 'assistant', stopReason: 'endTurn', content: { type: 'text', text: 'sampled' } }),
    roots: () => ({ roots: [{ uri: 'file:///tmp', name: 'tmp' }] }),
    elicitation: ({ params }) => {
        if (params.mode === 'url') return { action: 'accept' };
        const fields = Object.entries(params.requestedSchema?.properties ?? {}).filter(([, field]) => 'default' in field);
        return { action: 'accept', content: Object.fromEntries(fields.map(([name, field]) => [name, field.default])) };
    },
};

/** Records the raw results of `tools/list`, which the SDKs merge and parse. */
export function tapLists(transport) {
    const ids = new Set();
    const pages = [];
    const send = transport.send.bind(transport);
    transport.send = (message, options) => {
        if (message.method === 'tools/list') ids.add(message.id);
        return send(message, options);
    };
    transport.onmessage = message => {
        if (message.result && ids.delete(message.id)) pages.push(structuredClone(message.result));
    };
    return pages;
}

function within(limit, promise, what) {
    let timer;
    const late = new Promise((_, reject) => {
        timer = setTimeout(() => reject(new Error(`${what}: no end within ${limit} ms`)), limit);
    });
    return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Code, message and data of an error; the code is a string for what the SDK itself refused. */
function failure(error) {
    let message = String(error?.message ?? error);
    // SDK 1.x puts this before the message on the wire (which, from its own servers, has one already).
    const prefix = `MCP error ${error?.code}: `;
    if (error?.name === 'McpError' && message.startsWith(prefix)) message = message.slice(prefix.length);
    return { error: { code: error?.code ?? null, message, data: error?.data ?? null } };
}

/** Whether `text` holds `value` itself, not the value of another call that begins alike. */
function holds(text, value) {
    const at = typeof text === 'string' ? text.indexOf(value) : -1;
    return at >= 0 && !/[0-9]/.test(text[at + value.length] ?? '');
}

async function many(driver, step, options) {
    const prefix = step.prefix ?? step.arguments?.[step.vary] ?? 'm';
    const order = [];
    const values = Array.from({ length: step.count }, (_, i) => `${prefix}-${i}`);
    const calls = values.map((value, i) =>
        driver.call({ name: step.name, arguments: { ...step.arguments, [step.vary]: value } }, options).finally(() => order.push(i))
    );
    const settled = await Promise.allSettled(calls);
    const good = settled.map(({ value }, i) => ({ result: value, i })).filter(({ result }) => result && !result.isError);
    const bad = settled.find(({ status, value }) => status === 'rejected' || value.isError);
    return {
        answers: good.length,
        errors: step.count - good.length,
        in_order: order.every((at, i) => at === i),
        matched: good.length > 0 && good.every(({ result, i }) => holds(result.content?.[0]?.text, values[i])),
        ...(bad && { first_error: bad.reason ? failure(bad.reason).error : bad.value }),
    };
}

async function cancel(driver, step, options) {
    const abort = new AbortController();
    const stop = () => abort.abort('the test cancels');
    const timer = setTimeout(stop, step.after ?? 500);
    try {
        const result = await driver.call(step, { ...options, signal: abort.signal, onprogress: stop });
        return { cancelled: false, result };
    } catch (error) {
        if (!abort.signal.aborted) throw error;
        return { cancelled: true };
    } finally {
        clearTimeout(timer);
    }
}

async function run(driver, step) {
    const options = { timeout: STEP_LIMIT };
    switch (step.op) {
        case 'list':
            return { result: await driver.list(options) };
        case 'call': {
            if (!step.progress) return { result: await driver.call(step, options) };
            const progress = [];
            const result = await driver.call(step, { ...options, onprogress: one => progress.push(one) });
            return { result, progress };
        }
        case 'cancel':
            return { result: await cancel(driver, step, options) };
        case 'many':
            return { result: await many(driver, step, options) };
        case 'request':
            return { result: await driver.request({ method: step.method, ...(step.params && { params: step.params }) }, options) };
        default:
            throw new Error(`no such step: ${step.op}`);
    }
}

/**
 * Runs the whole driver. `open(target)` connects and returns the driver: `{era, protocol, server,
 * list(options), call({name, arguments}, options), request(request, options), close()}`.
 */
export async function main(open, defaultEra) {
    const [before, command] = split(process.argv.slice(2));
    const option = name => (before.includes(name) ? before[before.indexOf(name) + 1] : undefined);
    const target = { era: option('--era') ?? defaultEra, url: option('--url'), command: command[0], args: command.slice(1) };
    const steps = JSON.parse(readFileSync(0, 'utf8'));
    const document = { era: target.era, protocol: null, server: null, steps: [] };
    let driver;
    const work = async () => {
        driver = await within(STEP_LIMIT, open(target), 'connect');
        Object.assign(document, { era: driver.era, protocol: driver.protocol ?? null, server: driver.server ?? null });
        for (const step of steps) document.steps.push(await within(STEP_LIMIT + 2_000, run(driver, step), step.op).catch(failure));
    };
    // An error nobody awaits (a broken pipe, say) ends the work early, but not without a document.
    const stray = new Promise((_, reject) => process.on('uncaughtException', reject).on('unhandledRejection', reject));
    await within(WHOLE_LIMIT, Promise.race([work(), stray]), 'all steps').catch(error => Object.assign(document, failure(error)));
    const { steps: done, error } = document;
    while (done.length < steps.length) done.push({ error: { code: null, message: `not run: ${error?.message}`, data: null } });
    const text = JSON.stringify(document) + '\n';
    if (driver) {
        await within(CLOSE_LIMIT, driver.close(), 'close').catch(() => {});
        process.stdout.write(text, () => process.exit(0));
    } else {
        // The SDK still ends the server it started: leave when it is gone, at the latest by the limit.
        process.stdout.write(text);
        setTimeout(() => process.exit(0), CLOSE_LIMIT).unref();
    }
}

function split(args) {
    const at = args.indexOf('--');
    return at < 0 ? [args, []] : [args.slice(0, at), args.slice(at + 1)];
}
