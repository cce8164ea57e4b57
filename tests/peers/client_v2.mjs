// Drives an MCP server through the real TypeScript SDK 2.x (both eras); see common.mjs for usage.
//
// `modern` pins 2026-07-28 (no fallback), `auto` probes with server/discover and falls back. Over
// stdio both run the probe on a second, short-lived process of the same command.
import { answers, CAPABILITIES, INFO, main, peer, tapLists } from './common.mjs';

const { Client, StreamableHTTPClientTransport } = peer('@modelcontextprotocol/client');
const { StdioClientTransport } = peer('@modelcontextprotocol/client/stdio');

const MODES = { legacy: 'legacy', auto: 'auto', modern: { pin: '2026-07-28' } };

// Takes any result as it is (a "standard schema" that accepts everything).
const ANY = { '~standard': { version: 1, vendor: 'chio', validate: value => ({ value }) } };

async function open({ era, url, command, args }) {
    const versionNegotiation = { mode: MODES[era], probe: { timeoutMs: 10_000 } };
    const client = new Client(INFO, { capabilities: CAPABILITIES, versionNegotiation });
    client.setRequestHandler('sampling/createMessage', answers.sampling);
    client.setRequestHandler('elicitation/create', answers.elicitation);
    client.setRequestHandler('roots/list', answers.roots);

    const transport = url
        ? new StreamableHTTPClientTransport(new URL(url))
        : new StdioClientTransport({ command, args, env: process.env });
    const pages = tapLists(transport);
    await client.connect(transport, { timeout: 15_000 });

    return {
        era: client.getProtocolEra(),
        protocol: client.getNegotiatedProtocolVersion(),
        server: client.getServerVersion(),
        async list(options) {
            pages.length = 0;
            // Without a cursor the SDK follows every page itself; 'refresh' passes its cache by.
            const { tools } = await client.listTools(undefined, { ...options, cacheMode: 'refresh' });
            return { tools, pages: pages.length, raw: pages[0] };
        },
        call: ({ name, arguments: args }, options) => client.callTool({ name, arguments: args }, options),
        request: (request, options) => client.request(request, ANY, options),
        async close() {
            if (url) await transport.terminateSession?.().catch(() => {});
            await client.close();
        },
    };
}

await main(open, 'auto');
