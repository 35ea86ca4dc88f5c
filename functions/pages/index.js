// Lists the routes of the OpenAPI document by group, and shows whether the app is ready.

const element = (name, text, children = []) => {
  const node = document.createElement(name);
  node.textContent = text;
  node.append(...children);
  return node;
};

const listRoutes = async () => {
  // The query has the function key if the page needed one.
  const response = await fetch(`openapi.json${location.search}`);
  const { paths, tags } = await response.json();
  const routes = Object.entries(paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]) => ({ path, method, ...operation })));
  for (const { name } of tags) {
    const rows = routes.filter((route) => route.tags.includes(name)).map((route) =>
      element('li', '', [element('code', `${route.method.toUpperCase()} ${route.path}`)]));
    document.getElementById('routes').append(
      element('div', '', [element('h2', name), element('ul', '', rows)]));
  }
};

const showReadiness = async (event) => {
  event.preventDefault();
  const status = document.getElementById('status');
  status.textContent = 'Checking…';
  try {
    const headers = { 'x-functions-key': document.getElementById('key').value };
    const response = await fetch('health/ready', { headers });
    if (response.status === 401) {
      status.textContent = 'The function key is not valid.';
      return;
    }
    const { status: text, faults = [] } = await response.json();
    const lines = faults.map((fault) =>
      [fault.setting ?? fault.errorCode, fault.fault, fault.cure].filter(Boolean).join(': '));
    status.textContent = [text, ...lines].join('\n');
  } catch (error) {
    status.textContent = `No response: ${error.message}`;
  }
};

// Where the pages need a function key, their addresses have it.
for (const link of document.querySelectorAll('nav a')) link.search = location.search;
document.getElementById('readiness').addEventListener('submit', showReadiness);
listRoutes().catch(() => {
  document.getElementById('routes').textContent = 'The OpenAPI document is not available.';
});
