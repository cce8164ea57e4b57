// The server the official MCP conformance suite is run against: Streamable HTTP on the TypeScript SDK 1.x, one
// tool, prompt or resource for each scenario.
//
// CHIO_PEERS=DIR node conformance_server.mjs [--port N]     DIR has node_modules; port 0 (the default): a free one
import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';

const sdk = name => import(pathToFileURL(`${process.env.CHIO_PEERS}/node_modules/@modelcontextprotocol/sdk/dist/esm/${name}.js`));
const { Server } = await sdk('server/index');
const { StreamableHTTPServerTransport } = await sdk('server/streamableHttp');
const T = await sdk('types');

const PNG = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg==';
const WAV = 'UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAAAAA==';

const text = value => ({ type: 'text', text: value });
const image = { type: 'image', data: PNG, mimeType: 'image/png' };
const embedded = (uri, value, mimeType = 'text/plain') => ({ type: 'resource', resource: { uri, mimeType, text: value } });
const strings = (...names) => ({ type: 'object', properties: Object.fromEntries(names.map(n => [n, { type: 'string' }])), required: names });
const titled = (...pairs) => pairs.map(([value, title]) => ({ const: value, title }));

const DEFAULTS = {
  type: 'object',
  properties: {
    name: { type: 'string', default: 'John Doe' },
    age: { type: 'integer', default: 30 },
    score: { type: 'number', default: 95.5 },
    status: { type: 'string', enum: ['active', 'inactive', 'pending'], default: 'active' },
    verified: { type: 'boolean', default: true },
  },
  required: [],
};
const OPTIONS = ['option1', 'option2', 'option3'];
const ENUMS = {
  type: 'object',
  properties: {
    untitledSingle: { type: 'string', enum: OPTIONS },
    titledSingle: { type: 'string', oneOf: titled(['value1', 'First Option'], ['value2', 'Second Option'], ['value3', 'Third Option']) },
    legacyEnum: { type: 'string', enum: ['opt1', 'opt2', 'opt3'], enumNames: ['Option One', 'Option Two', 'Option Three'] },
    untitledMulti: { type: 'array', items: { type: 'string', enum: OPTIONS } },
    titledMulti: { type: 'array', items: { anyOf: titled(['value1', 'First Choice'], ['value2', 'Second Choice'], ['value3', 'Third Choice']) } },
  },
  required: [],
};
const JSON_SCHEMA = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  type: 'object',
  $defs: { address: { type: 'object', properties: { street: { type: 'string' }, city: { type: 'string' } } } },
  properties: { name: { type: 'string' }, address: { $ref: '#/$defs/address' } },
  additionalProperties: false,
};

// name: [input schema, run(arguments, call) -> content]; a call has the tools' ways back to the client.
const NONE = { type: 'object', properties: {} };
const TOOLS = {
  test_simple_text: [NONE, () => [text('This is a simple text response for testing.')]],
  test_image_content: [NONE, () => [image]],
  test_audio_content: [NONE, () => [{ type: 'audio', data: WAV, mimeType: 'audio/wav' }]],
  test_embedded_resource: [NONE, () => [embedded('test://embedded-resource', 'This is an embedded resource content.')]],
  test_multiple_content_types: [NONE, () => [text('Multiple content types test:'), image,
    embedded('test://mixed-content-resource', '{"test":"data","value":123}', 'application/json')]],
  test_tool_with_logging: [NONE, async (_, call) => {
    await call.log('Tool execution started');
    await sleep(50);
    await call.log('Tool processing data');
    await sleep(50);
    await call.log('Tool execution completed');
    return [text('Logged three messages.')];
  }],
  test_error_handling: [NONE, () => { throw new Error('This tool intentionally returns an error for testing'); }],
  test_tool_with_progress: [NONE, async (_, call) => {
    for (const progress of [0, 50, 100]) {
      if (progress > 0) await sleep(50);
      await call.progress(progress, 100);
    }
    return [text('Reported progress.')];
  }],
  test_sampling: [strings('prompt'), async ({ prompt }, call) => {
    const answer = await call.sample({ messages: [{ role: 'user', content: text(prompt) }], maxTokens: 100 });
    return [text(`LLM response: ${answer.content.text}`)];
  }],
  test_elicitation: [strings('message'), async ({ message }, call) => {
    const answer = await call.elicit(message, strings('username', 'email'));
    return [text(`User response: action=${answer.action}, content=${JSON.stringify(answer.content)}`)];
  }],
  test_elicitation_sep1034_defaults: [NONE, (_, call) => elicited(call, 'Please check the defaults', DEFAULTS)],
  test_elicitation_sep1330_enums: [NONE, (_, call) => elicited(call, 'Please choose', ENUMS)],
  json_schema_2020_12_tool: [JSON_SCHEMA, args => [text(JSON.stringify(args))]],
  // Ends its own response stream before the answer is there: the client has to come back for it (SEP-1699).
  test_reconnection: [NONE, async (_, call) => {
    await sleep(50);
    call.closeStream();
    await sleep(150);
    return [text('Answered after the stream was closed.')];
  }],
};
const elicited = async (call, message, schema) => {
  const answer = await call.elicit(message, schema);
  return [text(`Elicitation completed: action=${answer.action}, content=${JSON.stringify(answer.content)}`)];
};

const RESOURCES = {
  'test://static-text': { mimeType: 'text/plain', text: 'This is the content of the static text resource.' },
  'test://static-binary': { mimeType: 'image/png', blob: PNG },
  'test://watched-resource': { mimeType: 'text/plain', text: 'A resource to subscribe to.' },
};
const TEMPLATE = /^test:\/\/template\/([^/]+)\/data$/;

// name: [names of the arguments, messages(arguments)]
const PROMPTS = {
  test_simple_prompt: [[], () => [text('This is a simple prompt for testing.')]],
  test_prompt_with_arguments: [['arg1', 'arg2'], a => [text(`Prompt with arguments: arg1='${a.arg1}', arg2='${a.arg2}'`)]],
  test_prompt_with_embedded_resource: [['resourceUri'], a => [embedded(a.resourceUri, 'Embedded resource content for testing.'),
    text('Please process the embedded resource above.')]],
  test_prompt_with_image: [[], () => [image, text('Please analyze the image above.')]],
};

const invalid = message => new T.McpError(T.ErrorCode.InvalidParams, message);

function newServer() {
  const server = new Server({ name: 'conformance-server', version: '1.0.0' }, {
    capabilities: { tools: {}, resources: { subscribe: true }, prompts: {}, logging: {}, completions: {} },
  });
  const subscribed = new Set();
  const on = (schema, handler) => server.setRequestHandler(schema, async (request, extra) => handler(request.params ?? {}, extra));

  on(T.ListToolsRequestSchema, () => ({
    tools: Object.entries(TOOLS).map(([name, [inputSchema]]) => ({ name, description: `For the scenario of ${name}`, inputSchema })),
  }));
  on(T.CallToolRequestSchema, async (params, extra) => {
    if (!Object.hasOwn(TOOLS, params.name)) throw invalid(`Unknown tool ${params.name}`);
    const notify = (method, params) => extra.sendNotification({ method, params });
    const call = {
      log: async data => server.isMessageIgnored('info', extra.sessionId) || notify('notifications/message', { level: 'info', data }),
      progress: async (progress, total) => {
        const progressToken = params._meta?.progressToken;
        if (progressToken !== undefined) await notify('notifications/progress', { progressToken, progress, total });
      },
      sample: request => {
        if (!server.getClientCapabilities()?.sampling) throw new Error('Client does not support sampling.');
        return server.createMessage(request, { relatedRequestId: extra.requestId });
      },
      elicit: (message, requestedSchema) => server.elicitInput({ message, requestedSchema }, { relatedRequestId: extra.requestId }),
      closeStream: () => extra.closeSSEStream?.(),
    };
    try {
      return { content: await TOOLS[params.name][1](params.arguments ?? {}, call) };
    } catch (error) {
      return { isError: true, content: [text(error.message)] };
    }
  });

  on(T.ListResourcesRequestSchema, () => ({
    resources: Object.entries(RESOURCES).map(([uri, { mimeType }]) => ({ uri, name: uri.slice(7), description: `Resource ${uri}`, mimeType })),
  }));
  on(T.ListResourceTemplatesRequestSchema, () => ({
    resourceTemplates: [{ uriTemplate: 'test://template/{id}/data', name: 'template', description: 'Data by id', mimeType: 'application/json' }],
  }));
  on(T.ReadResourceRequestSchema, ({ uri }) => {
    const id = TEMPLATE.exec(uri)?.[1];
    if (id) return { contents: [{ uri, mimeType: 'application/json', text: JSON.stringify({ id, templateTest: true, data: `Data for ID: ${id}` }) }] };
    if (!Object.hasOwn(RESOURCES, uri)) throw invalid(`Unknown resource ${uri}`);
    return { contents: [{ uri, ...RESOURCES[uri] }] };
  });
  on(T.SubscribeRequestSchema, ({ uri }) => (subscribed.add(uri), {}));
  on(T.UnsubscribeRequestSchema, ({ uri }) => (subscribed.delete(uri), {}));

  on(T.ListPromptsRequestSchema, () => ({
    prompts: Object.entries(PROMPTS).map(([name, [names]]) => ({
      name, description: `For the scenario of ${name}`, arguments: names.map(n => ({ name: n, description: n, required: true })),
    })),
  }));
  on(T.GetPromptRequestSchema, ({ name, arguments: args = {} }) => {
    if (!Object.hasOwn(PROMPTS, name)) throw invalid(`Unknown prompt ${name}`);
    return { messages: PROMPTS[name][1](args).map(content => ({ role: 'user', content })) };
  });
  on(T.CompleteRequestSchema, ({ argument }) => {
    const values = ['test', 'testing', 'party', 'paris'].filter(v => v.startsWith(argument.value));
    return { completion: { values, total: values.length, hasMore: false } };
  });
  return server;
}

// Keeps a session's events, so that a client can ask for those after its Last-Event-ID. An id is the event's place.
class EventStore {
  events = [];
  async storeEvent(streamId, message) {
    return String(this.events.push({ streamId, message }));
  }
  async getStreamIdForEventId(id) {
    return this.events[Number(id) - 1]?.streamId;
  }
  async replayEventsAfter(id, { send }) {
    const streamId = await this.getStreamIdForEventId(id);
    for (let i = Number(id); i < this.events.length; i++) {
      if (this.events[i].streamId === streamId) await send(String(i + 1), this.events[i].message);
    }
    return streamId;
  }
}

const sessions = new Map();

async function newSession() {
  const session = {};
  const transport = session.transport = new StreamableHTTPServerTransport({
    sessionIdGenerator: randomUUID,
    onsessioninitialized: id => { sessions.set(id, session); },
    onsessionclosed: id => { sessions.delete(id); },
    eventStore: new EventStore(),
    retryInterval: 50,
  });
  await newServer().connect(transport);
  const send = transport.send.bind(transport);
  transport.send = (message, options) => {
    session.version ??= message.result?.protocolVersion;
    return send(message, options);
  };
  return session;
}

// A web page that reaches this port by DNS rebinding has its own name in Host and Origin.
const isLocal = url => { try { return ['127.0.0.1', 'localhost', '[::1]'].includes(new URL(url).hostname); } catch { return false; } };

function refuse(res, status, message) {
  res.writeHead(status, { 'content-type': 'application/json' });
  res.end(JSON.stringify({ jsonrpc: '2.0', id: null, error: { code: status === 404 ? -32001 : -32000, message } }));
}

const http = createServer(async (req, res) => {
  const { host, origin, 'mcp-session-id': id } = req.headers;
  if (!isLocal(`http://${host}`) || (origin !== undefined && !isLocal(origin))) return refuse(res, 403, 'Host or Origin is not local');
  if (new URL(req.url, 'http://localhost').pathname !== '/mcp') return refuse(res, 404, 'Not found');
  const session = id === undefined ? await newSession() : sessions.get(id);
  if (!session) return refuse(res, 404, 'Session not found');
  // The scenario server-sse-polling agrees on 2025-11-25 and then says 2025-03-26, for which the SDK has no
  // resumable streams: the version agreed on counts.
  const at = req.rawHeaders.findIndex((name, i) => i % 2 === 0 && name.toLowerCase() === 'mcp-protocol-version');
  if (at >= 0 && session.version) req.rawHeaders[at + 1] = session.version;
  await session.transport.handleRequest(req, res);
});

const port = process.argv.indexOf('--port');
http.listen(port > 0 ? Number(process.argv[port + 1]) : 0, '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${http.address().port}/mcp`);
});
