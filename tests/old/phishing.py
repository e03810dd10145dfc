"""A small table of the shape of schemas/phishing.yaml: levels drawn by a fixed rule, no row of any real table."""
import re, random
random.seed(54)
cols=[]
for line in open('schemas/phishing.yaml'):
    m=re.match(r'  (\w+): \{ type: int, allowed: \[([^\]]*)\]',line)
    if m: cols.append((m.group(1),[int(x) for x in m.group(2).split(',')]))
print(','.join(c for c,_ in cols))
for i in range(300):
    y=random.choice([-1,1]); row=[]
    for k,(c,levels) in enumerate(cols):
        if c=='Result': row.append(y)
        elif k%5==0 and random.random()<.75: row.append(max(levels) if y==1 else min(levels))
        else: row.append(random.choice(levels))
    print(','.join(map(str,row)))
