// Drives an MCP server through the real TypeScript SDK 1.x (legacy era only); see common.mjs for usage.
import { answers, CAPABILITIES, INFO, main, peer, tapLists } from './common.mjs';

const SDK = '@modelcontextprotocol/sdk';
const { Client } = peer(`${SDK}/client/index.js`);
const { StdioClientTransport } = peer(`${SDK}/client/stdio.js`);
const { StreamableHTTPClientTransport } = peer(`${SDK}/client/streamableHttp.js`);
const types = peer(`${SDK}/types.js`);

async function open({ era, url, command, args }) {
    if (era === 'modern') throw new Error('SDK 1.x has no modern era');
    const client = new Client(INFO, { capabilities: CAPABILITIES });
    client.setRequestHandler(types.CreateMessageRequestSchema, answers.sampling);
    client.setRequestHandler(types.ElicitRequestSchema, answers.elicitation);
    client.setRequestHandler(types.ListRootsRequestSchema, answers.roots);

    const transport = url
        ? new StreamableHTTPClientTransport(new URL(url))
        : new StdioClientTransport({ command, args, env: process.env });
    const pages = tapLists(transport);
    let protocol;
    // The client keeps the negotiated version to itself; it tells HTTP transports through this method.
    const setProtocolVersion = transport.setProtocolVersion?.bind(transport);
    transport.setProtocolVersion = version => {
        protocol = version;
        setProtocolVersion?.(version);
    };
    await client.connect(transport, { timeout: 15_000 });

    return {
        era: 'legacy',
        protocol,
        server: client.getServerVersion(),
        async list(options) {
            pages.length = 0;
            const tools = [];
            let cursor;
            do {
                const page = await client.listTools(cursor === undefined ? undefined : { cursor }, options);
                tools.push(...page.tools);
                cursor = page.nextCursor;
            } while (cursor !== undefined);
            return { tools, pages: pages.length, raw: pages[0] };
        },
        call: ({ name, arguments: args }, options) => client.callTool({ name, arguments: args }, undefined, options),
        request: (request, options) => client.request(request, types.ResultSchema, options),
        async close() {
            if (url) await transport.terminateSession().catch(() => {});
            await client.close();
        },
    };
}

await main(open, 'legacy');
